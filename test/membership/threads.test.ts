/** Ranks that are threads of one process, of which some end. */
import { fileURLToPath } from "node:url";
import type { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { startThreads } from "../../src/node/thread-job.ts";
import { freePort } from "../helpers/free-port.ts";

const SCRIPT = fileURLToPath(new URL("./programs/elastic.mjs", import.meta.url));

type Said = Record<string, unknown>;

/** Resolves with the first message of a thread that has so many ranks. */
const reached = (worker: Worker, size: number): Promise<Said> =>
  new Promise((resolve, reject) => {
    worker.on("error", reject);
    worker.on("message", (message: Said) => {
      if (message.size === size) resolve(message);
      if (message.wrong || message.refused) reject(new Error(JSON.stringify(message)));
    });
  });

describe("shrink() between threads", () => {
  it.each([[[2]], [[0]], [[1, 3]]])(
    "follows the end of threads %j, in the memory that they address",
    { timeout: 60_000 },
    async (victims) => {
      const place = { WORLD_SIZE: "4", MASTER_ADDR: "127.0.0.1", MASTER_PORT: String(await freePort()) };
      const environment = { ...process.env, ...place };
      const threads = startThreads({ ranks: 4, script: SCRIPT, args: [], tsx: null, environment, piped: false });
      const ended = threads.map((thread) => new Promise((resolve) => thread.once("exit", resolve)));
      await Promise.all(threads.map((thread) => reached(thread, 4)));
      const survivors = threads.filter((_, rank) => !victims.includes(rank));
      const shrunk = survivors.map((thread) => reached(thread, survivors.length));
      const endedAt = Date.now();
      for (const victim of victims) void threads[victim]!.terminate();
      const said = await Promise.all(shrunk);
      const seats = [0, 1, 2, 3].filter((rank) => !victims.includes(rank));
      expect(said.map(({ globalRanks, right }) => ({ globalRanks, right }))).toEqual(
        seats.map(() => ({ globalRanks: seats, right: true })),
      );
      const delays = said.map(({ at }) => (at as number) - endedAt).sort((a, b) => a - b);
      console.log(`first right allReduce at most ${delays.at(-1)} ms after the end`);
      expect(delays.at(-1)).toBeLessThanOrEqual(2_000);
      expect((said[0]!.links as string[]).includes("shared-memory")).toBe(true);
      for (const thread of survivors) thread.postMessage("end");
      await Promise.all(ended);
    },
  );
});
