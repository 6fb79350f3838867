/**
 * Two ranks in one process: three works of each reject, one of them is awaited, and the process goes on. Prints the
 * messages that rank 0's logger was given, then "alive".
 */
import { initProcessGroup } from "../../../src/node/index.ts";

const reported: string[] = [];
const silent = () => {};
const groups = await Promise.all(
  [0, 1].map((rank) => {
    const error = (message: string, ...details: unknown[]) => {
      if (rank === 0) reported.push([message, ...details.map(String)].join(" "));
    };
    const logger = { error, warn: silent, info: silent, debug: silent };
    return initProcessGroup({ initMethod: "memory://rejections", rank, worldSize: 2, backend: "cpu", logger });
  }),
);

const awaited = groups.map((group, rank) => {
  const [first] = [1, 2, 3].map((length) => group.allReduce(new Float32Array(length + rank)));
  return first;
});
for (const work of awaited) {
  try {
    await work;
    process.exitCode = 2;
  } catch {
    // This is the one that is awaited.
  }
}

// The next collective ends on every rank after all that came before it.
await Promise.all(groups.map((group) => group.barrier()));
await Promise.all(groups.map((group) => group.destroy()));
// Reports come with the timers that are due.
await new Promise((resolve) => setTimeout(resolve, 0));
console.log(JSON.stringify(reported));
console.log("alive");
