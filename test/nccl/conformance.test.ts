import { describe, expect, it } from "vitest";
import { CASE_COLLECTIVES, type CaseFilter } from "../../src/testing/index.ts";
import { type RanksOptions, runRanks } from "./stand-in.ts";

/** The addon and the stand-ins may have to be built first. */
const TIMEOUT_MS = 180_000;

/** Small cases of every collective, dtype and operation for one size; at the others a part of them. */
function casesFor(size: number): CaseFilter {
  const few: CaseFilter = {
    dtypes: ["f32", "i32", "f16", "i16", "f8e4m3", "f8e5m2"],
    ops: ["sum", "premul-sum", "custom"],
    counts: [0, 17],
  };
  return size === 3 ? { counts: [5] } : few;
}

for (const task of ["host", "device"] as const) {
  describe(`backend nccl on stand-ins under AddressSanitizer, tensors on the ${task}`, () => {
    for (const size of task === "host" ? [1, 2, 3, 4] : [1, 2, 4]) {
      it(`runs the conformance suite with ${size} processes`, { timeout: TIMEOUT_MS }, async () => {
        const filter = { ...casesFor(size), seed: 20 + size };
        const reports = await runRanks(task, size, { sanitize: true, env: { CASES: JSON.stringify(filter) } });
        for (const report of reports) {
          expect(report).toMatchObject({ backendName: "nccl", wrong: [], digests: reports[0]?.digests });
        }
        expect(new Set(reports.map((report) => report?.pid)).size).toBe(size);
        expect(reports[0]?.ran).toBeGreaterThan(CASE_COLLECTIVES.length * 4);
        console.log(`nccl on stand-ins, ${task}, ${size} processes: ${reports[0]?.ran} cases`);
      });
    }
  });
}

describe("backend nccl on stand-ins", () => {
  it.each([
    ["an older NCCL", { env: { WEBCCL_STANDIN_NCCL_VERSION: "22304" } }],
    ["an older device on one rank", { envOf: { 1: { WEBCCL_STANDIN_CAPABILITY: "89" } } }],
  ])("reduces 8-bit floats on the host path with %s", { timeout: TIMEOUT_MS }, async (_, options: RanksOptions) => {
    const filter: CaseFilter = { dtypes: ["f8e4m3", "f8e5m2"], ops: ["sum", "avg"], counts: [17] };
    for (const task of ["host", "device"]) {
      const env = { ...options.env, CASES: JSON.stringify(filter) };
      const reports = await runRanks(task, 2, { ...options, sanitize: true, env });
      for (const report of reports) expect(report).toMatchObject({ backendName: "nccl", wrong: [] });
      expect(reports[0]?.ran).toBeGreaterThan(40);
    }
  });

  it("sends CUDA memory by NCCL, in any order", { timeout: TIMEOUT_MS }, async () => {
    const reports = await runRanks("messages", 2, { sanitize: true });
    reports.forEach((report, rank) => {
      const from = 10 * (1 - rank);
      expect(report).toMatchObject({
        sum: [6],
        more: 2,
        mixed: { error: "MismatchError", field: "memory (host or CUDA)" },
      });
      expect(report?.values).toEqual([1, 2, 3].map((tag) => [from + tag, -tag]));
    });
    expect(reports[1]).toMatchObject({ source: 0, last: [1, -1] });
  });

  it("reduces tensors of many segments", { timeout: TIMEOUT_MS }, async () => {
    const collectives = ["allReduce", "broadcast", "reduce", "allGather", "reduceScatter", "allToAll"];
    const filter: CaseFilter = { collectives, dtypes: ["f32"], ops: ["sum"], counts: [3_000_001] };
    const reports = await runRanks("host", 2, { sanitize: true, env: { CASES: JSON.stringify(filter) } });
    expect(reports.map((report) => report?.wrong)).toEqual([[], []]);
    expect(reports[0]?.ran).toBe(collectives.length);
  });
});
