import { describe, expect, it } from "vitest";
import { startJob } from "./job.ts";

const RANKS = 3;
const RUNS = 4;
const TIMEOUT_MS = 1_000;

describe.each(["websocket", "shared-file", "mapped-memory"])(
  "SIGSTOP of a rank in the middle of an allReduce over %s",
  (TRANSPORT) => {
    it(`ends in a TimeoutError that names it, the group is soon destroyed, and the woken rank is told, ${RUNS} times`, {
      timeout: 120_000,
    }, async () => {
      const delays: number[] = [];
      const destroys: number[] = [];
      for (let run = 0; run < RUNS; run++) {
        const victim = run % RANKS;
        const job = await startJob("stopped.mjs", RANKS, { TRANSPORT });
        for (let rank = 0; rank < RANKS; rank++) {
          await job.reported((report) => report.rank === rank && report.message.running === true);
        }
        const stoppedAt = Date.now();
        job.ranks[victim]!.kill("SIGSTOP");
        const survivors = [0, 1, 2].filter((rank) => rank !== victim);
        for (const rank of survivors) {
          const { message } = await job.reported((report) => report.rank === rank && "error" in report.message);
          expect(message, String(message.text)).toMatchObject({ error: "TimeoutError", missing: [victim] });
          delays.push((message.at as number) - stoppedAt);
        }
        for (const rank of survivors) {
          const { message } = await job.reported((report) => report.rank === rank && "destroyMs" in report.message);
          destroys.push(message.destroyMs as number);
        }
        job.ranks[victim]!.kill("SIGCONT");
        const { message } = await job.reported((report) => report.rank === victim && "error" in report.message);
        // Either it hears what the others found, or its own deadline has passed too.
        expect(message.error, String(message.text)).toBe("TimeoutError");
        expect(await job.ended).toEqual(Array(RANKS).fill({ code: 0, signal: null }));
      }
      delays.sort((a, b) => a - b);
      console.log(`rejected ${delays.at(0)} to ${delays.at(-1)} ms after the stop, with a timeout of ${TIMEOUT_MS} ms`);
      console.log(`destroyed within ${Math.max(...destroys).toFixed()} ms, while one rank was stopped`);
      expect(Math.max(...destroys)).toBeLessThanOrEqual(2_000);
      expect(delays.at(-1)).toBeLessThanOrEqual(TIMEOUT_MS + 1_000);
    });
  },
);

describe("SIGSTOP of the rank in whose process the hub relays", () => {
  it("names that rank, and not those behind it", { timeout: 60_000 }, async () => {
    const job = await startJob("stopped.mjs", RANKS, { TRANSPORT: "hub" });
    for (let rank = 0; rank < RANKS; rank++) {
      await job.reported((report) => report.rank === rank && report.message.running === true);
    }
    job.ranks[0]!.kill("SIGSTOP");
    for (const rank of [1, 2]) {
      const { message } = await job.reported((report) => report.rank === rank && "error" in report.message);
      expect(message, String(message.text)).toMatchObject({ error: "TimeoutError", missing: [0] });
    }
    job.kill();
    await job.ended;
  });
});
