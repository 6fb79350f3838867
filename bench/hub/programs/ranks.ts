/**
 * ranks URL WORLD FIRST COUNT: so many ranks of a group of WORLD, each of which has the hub alone, as a tab has. Answers "joined" with the
 * milliseconds that the last of them took, every message with { rounds } of right allReduces since the last one, and { leave } when
 * all have left.
 */
import { initProcessGroup } from "../../../src/node/index.ts";

const [url = "", ...numbers] = process.argv.slice(2);
const [worldSize, first, count] = numbers.map(Number) as [number, number, number];

const began = performance.now();
const groups = await Promise.all(
  Array.from({ length: count }, (_, i) =>
    initProcessGroup({ initMethod: url, worldSize, rank: first + i, transport: "hub", timeoutMs: 120_000 }),
  ),
);
process.send?.({ joinedMs: performance.now() - began, memory: process.memoryUsage().rss });

/** The sum of all ranks' numbers, which stand in every element. */
const sum = (worldSize * (worldSize - 1)) / 2;

process.on("message", async (message: { rounds?: number; leave?: true }) => {
  if (message.leave) {
    await Promise.all(groups.map((group) => group.destroy()));
    process.send?.({});
    process.disconnect?.();
    return;
  }
  const started = performance.now();
  let wrong = 0;
  for (let i = 0; i < (message.rounds ?? 1); i++) {
    const tensors = groups.map((group) => new Float32Array(256).fill(group.rank));
    await Promise.all(groups.map((group, g) => group.allReduce(tensors[g]!)));
    for (const tensor of tensors) if (!tensor.every((value) => value === sum)) wrong++;
  }
  process.send?.({ ms: performance.now() - started, wrong });
});
process.on("disconnect", () => process.exit(0));
