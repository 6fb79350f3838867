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

  // One rank has the processor to itself but for what stands for its device; two share them with each other's. Other programs
  // take the loop's processor away now and then, and never in all rounds: the quietest counts, and what holds the loop up
  // itself does so in each.
  it.each([
    [1, 10],
    [2, 5],
  ])("does not hold the event loop for 5 ms while 256 MiB are reduced, ranks: %i", async (size, rounds) => {
    for (const report of await runRanks("delay", size, { env: { ROUNDS: `${rounds}` } })) {
      const times = report?.times as { ms: number; maxMs: number }[];
      console.log(`256 MiB: ${times.map(({ ms, maxMs }) => `${maxMs.toFixed(1)} of ${ms.toFixed(0)} ms`).join(", ")}`);
      expect(report?.wrong).toBe(0);
      expect(Math.min(...times.map(({ maxMs }) => maxMs))).toBeLessThanOrEqual(5);
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
