import { describe, expect, it } from "vitest";
import { type RankReport, runRanks } from "./stand-in.ts";

const TIMEOUT_MS = 240_000;

/** `checksResident` is for a process whose freed memory is free at once. */
function expectNoLeak(report: RankReport, checksResident = true): void {
  const { before, after, end } = report as Record<"before" | "after" | "end", Record<string, number>>;
  const [{ rss: rssBefore, events: eventsBefore, ...alive }, { rss, events, ...stillAlive }] = [before, after];
  expect(stillAlive).toEqual(alive);
  // Events are used again; how many there are depends on how much was under way at once.
  expect(events! - eventsBefore!).toBeLessThan(32);
  const nothing = { deviceMemories: 0, deviceBytes: 0, memories: 0, communicators: 0, operations: 0 };
  expect(end).toMatchObject(nothing);
  // What is left belongs to the two lanes of the process.
  expect(end).toMatchObject({ lanes: 2, streams: 6 });
  const growth = rss! - rssBefore!;
  console.log(`1,000 operations: resident memory ${(growth / 2 ** 20).toFixed(1)} MiB more`);
  if (checksResident) expect(growth).toBeLessThan(16 * 2 ** 20);
}

describe("backend nccl", { timeout: TIMEOUT_MS }, () => {
  it("leaks nothing in a thousand operations", async () => {
    for (const report of await runRanks("thousand", 2)) expectNoLeak(report);
  });

  // Other programs, and the host of a virtual machine, take the loop's processor away now and then, and never in all rounds:
  // the quietest counts, and what holds the loop up itself does so in each.
  it("does not hold the event loop for 5 ms while 256 MiB are reduced", async () => {
    const [report] = await runRanks("delay", 1, { env: { ROUNDS: "10" } });
    const times = report?.times as { ms: number; maxMs: number }[];
    console.log(`256 MiB: ${times.map(({ ms, maxMs }) => `${maxMs.toFixed(1)} of ${ms.toFixed(0)} ms`).join(", ")}`);
    expect(report?.wrong).toBe(0);
    expect(Math.min(...times.map(({ maxMs }) => maxMs))).toBeLessThanOrEqual(5);
  });

  it("does not hold the event loop for 5 ms of its own while two ranks reduce 256 MiB", async () => {
    for (const report of await runRanks("delay", 2, { env: { ROUNDS: "9" } })) {
      const times = report?.times as { ownMs: number; maxMs: number }[];
      const texts = times.map(({ ownMs, maxMs }) => `${ownMs.toFixed(1)} (${maxMs.toFixed(1)} with waits)`);
      console.log(`256 MiB, 2 ranks: ${texts.join(", ")} ms`);
      expect(report?.wrong).toBe(0);
      // Two ranks and what stands for their devices want more than two processors; that wait is not the addon's.
      expect(Math.min(...times.map(({ ownMs }) => ownMs))).toBeLessThanOrEqual(5);
    }
  });
});

describe("the addon under AddressSanitizer", { timeout: TIMEOUT_MS }, () => {
  it("runs a thousand operations, and ends a hanging one", async () => {
    // The sanitizer keeps what was freed for a while, so resident memory says nothing.
    for (const report of await runRanks("thousand", 2, { sanitize: true })) expectNoLeak(report, false);
    const env = { WEBCCL_STANDIN_HANG_AT: "7", TIMEOUT_MS: "800" };
    for (const report of await runRanks("loop", 2, { sanitize: true, env })) {
      expect(report).toMatchObject({ error: "TimeoutError", done: 6 });
    }
  });
});
