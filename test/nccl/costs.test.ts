import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { type RankReport, runRanks } from "./stand-in.ts";

const TIMEOUT_MS = 240_000;

/** AddressSanitizer has to be the first library of a process that was not built with it. */
function sanitizer(): Record<string, string> {
  const library = execFileSync(process.env.CXX ?? "c++", ["-print-file-name=libasan.so"], { encoding: "utf8" }).trim();
  // What Node itself has not freed at the end is no leak of the addon's, which counts its own.
  return { LD_PRELOAD: library, ASAN_OPTIONS: "detect_leaks=0:abort_on_error=1" };
}

function expectNoLeak(report: RankReport, checksResident = true): void {
  const { before, after, end } = report as Record<string, Record<string, number>>;
  const { rss: rssBefore, ...aliveBefore } = before as Record<string, number>;
  const { rss: rssAfter, ...aliveAfter } = after as Record<string, number>;
  expect(aliveAfter).toEqual(aliveBefore);
  expect(end).toMatchObject({ deviceMemories: 0, deviceBytes: 0, streams: 0 });
  const growth = (rssAfter as number) - (rssBefore as number);
  console.log(`1,000 operations: resident memory ${(growth / 2 ** 20).toFixed(1)} MiB more`);
  if (checksResident) expect(growth).toBeLessThan(16 * 2 ** 20);
}

describe("backend nccl", { timeout: TIMEOUT_MS }, () => {
  it("leaks nothing in a thousand operations", async () => {
    for (const report of await runRanks("thousand", 2)) expectNoLeak(report);
  });

  it("does not hold the event loop while 256 MiB are reduced", async () => {
    const reports = await runRanks("delay", 2);
    for (const report of reports) {
      const times = report?.times as { ms: number; idleMs: number; ownMs: number; maxMs: number; p99Ms: number }[];
      const texts = times.map(
        ({ ms, ownMs, maxMs, p99Ms }) =>
          `${ms.toFixed(0)} ms, loop at most ${ownMs.toFixed(1)} ` +
          `(${maxMs.toFixed(1)} with what it waited for a processor, p99 ${p99Ms.toFixed(1)})`,
      );
      console.log(`256 MiB: ${texts.join("; ")}`);
      expect(report?.wrong).toBe(0);
      // Two ranks and what stands for their devices want more than two processors, and the machine may have others to
      // serve: the quietest run counts, and where even a loop that has nothing to do is held up for longer, that.
      const limit = Math.max(5, ...times.map(({ idleMs }) => idleMs));
      expect(Math.min(...times.map(({ ownMs }) => ownMs))).toBeLessThanOrEqual(limit);
    }
  });
});

describe("the addon under AddressSanitizer", { timeout: TIMEOUT_MS }, () => {
  it("runs part of the conformance suite", async () => {
    const cases = { dtypes: ["f32", "i16"], ops: ["sum", "avg"], counts: [0, 17], seed: 5 };
    for (const task of ["host", "device"]) {
      const env = { ...sanitizer(), CASES: JSON.stringify(cases) };
      const reports = await runRanks(task, 2, { sanitize: true, env });
      expect(reports.map((report) => report?.wrong)).toEqual([[], []]);
    }
  });

  it("runs a thousand operations, and ends a hanging one", async () => {
    // The sanitizer keeps what was freed for a while, so resident memory says nothing.
    for (const report of await runRanks("thousand", 2, { sanitize: true, env: sanitizer() }))
      expectNoLeak(report, false);
    const env = { ...sanitizer(), WEBCCL_STANDIN_HANG_AT: "7", TIMEOUT_MS: "800" };
    for (const report of await runRanks("loop", 2, { sanitize: true, env })) {
      expect(report).toMatchObject({ error: "TimeoutError", done: 6 });
    }
  });
});
