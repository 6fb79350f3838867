import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  clockOffsets,
  mergeDumps,
  parseDump,
  toChromeTrace,
  toTorchPickles,
  verdictOf,
} from "../../src/trace/index.ts";
import { dumpsOf, TRACE_CASES } from "./cases.ts";

const HEALTHY = TRACE_CASES[0]!;

describe("toChromeTrace()", () => {
  it("has each call of each rank once, on the clock of the first rank, however far the others' are off", async () => {
    const dumps = await dumpsOf(HEALTHY);
    const longest = Math.max(
      ...dumps.flatMap(({ entries }) => entries.map((e) => (e.completedMs ?? 0) - e.scheduledMs)),
    );
    const off = fc.double({ min: -1e7, max: 1e7, noNaN: true });
    fc.assert(
      fc.property(fc.tuple(fc.constant(0), off, off), (shifts) => {
        const shifted = dumps.map((dump, rank) => ({ ...dump, clockZero: dump.clockZero + shifts[rank]! }));
        const trace = mergeDumps(shifted);
        const offsets = clockOffsets(trace);
        for (const [rank, shift] of shifts.entries())
          expect(Math.abs(offsets.get(rank)! - shift)).toBeLessThan(longest + 1);
        const { traceEvents } = toChromeTrace(trace);
        const calls = traceEvents.filter(({ ph }) => ph === "X");
        expect(calls).toHaveLength(dumps.reduce((sum, { entries }) => sum + entries.length, 0));
        const start = (rank: number, name: string) =>
          calls.find((one) => one.pid === rank && one.name === name)?.ts ?? 0;
        // Rank 0's start of the first barrier is between its neighbours' within the length of a call.
        const starts = [0, 1, 2].map((rank) => start(rank, "barrier #13"));
        expect(Math.max(...starts) - Math.min(...starts)).toBeLessThan(1000 * (2 * longest + 2));
      }),
      { numRuns: 50 },
    );
  });
});

describe("parseDump()", () => {
  it("takes what a rank wrote, and throws a TypeError for what is not so, wherever it lies; what it takes is analysed", async () => {
    const dumps = JSON.parse(JSON.stringify(await dumpsOf(TRACE_CASES[1]!)));
    const paths: (string | number)[][] = [];
    const collect = (value: unknown, path: (string | number)[]) => {
      if (path.length > 0) paths.push(path);
      if (typeof value !== "object" || value === null) return;
      for (const [key, item] of Object.entries(value))
        collect(item, [...path, Array.isArray(value) ? Number(key) : key]);
    };
    collect(dumps[1], []);
    const values = fc.oneof(
      fc.constantFrom(null, undefined, -1, 0, 1, 1e20, 2.5, "", "allReduce", true, [], {}, [0, 1, 2], Number.NaN),
      fc.jsonValue(),
    );
    fc.assert(
      fc.property(fc.constantFrom(...paths), values, (path, value) => {
        const changed = structuredClone(dumps[1]);
        let at = changed;
        for (const step of path.slice(0, -1)) at = at[step];
        at[path.at(-1)!] = value;
        try {
          const trace = mergeDumps([dumps[0], parseDump(changed), dumps[2], dumps[3]]);
          verdictOf(trace);
          toChromeTrace(trace);
          toTorchPickles(trace);
        } catch (error) {
          expect(error instanceof TypeError || error instanceof RangeError, String((error as Error).stack)).toBe(true);
          expect((error as Error).message).toMatch(/^the dump|two dumps|of a job of/);
        }
      }),
      { numRuns: 500 },
    );
  });
});
