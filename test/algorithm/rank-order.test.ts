import { describe, expect, it } from "vitest";
import type { AlgorithmFamily } from "../../src/algorithm/rows.ts";
import { ReduceOp } from "../../src/reduce-op.ts";
import { FOLDS, rowsOf, runCase } from "./cases.ts";

const SIZES = [1, 2, 3, 5, 8, 13];
const SEGMENT_BYTES = [64, 1000, 65536];

/** Neither commutative nor associative: the result tells the order and the nesting of the fold. */
const digits = ReduceOp.custom({
  name: "digits",
  wgsl: "a * 31 + b",
  js: (a: number, b: number) => Math.imul(a, 31) + b,
  identity: 0,
  commutative: false,
});

for (const collective of FOLDS) describeFamily(collective);

function describeFamily<C extends AlgorithmFamily>(collective: C): void {
  const rows = rowsOf(collective).filter((row) => row.rankOrder);

  describe.each(rows)(`${collective} $algorithm, in rank order`, (row) => {
    it.each(SIZES)("gives the bits of the sequential left fold of f32, on %i ranks", async (size) => {
      for (const segmentBytes of SEGMENT_BYTES) {
        for (const op of [ReduceOp.SUM, ReduceOp.AVG, ReduceOp.PRODUCT]) {
          const root = size >> 1;
          const options = { size, count: 777, segmentBytes, dtype: "f32", fractions: true, root } as const;
          await runCase(collective, row, { ...options, ops: () => op, exclusive: segmentBytes === 1000 });
        }
      }
    });

    it.each(SIZES)("folds an operation that is not commutative, on %i ranks", async (size) => {
      for (const segmentBytes of SEGMENT_BYTES) {
        for (let root = 0; root < size; root++) {
          await runCase(collective, row, { size, count: 333, segmentBytes, dtype: "i32", root, ops: () => digits });
        }
      }
    });
  });
}

describe("rows that are not in rank order", () => {
  const rows = FOLDS.flatMap((collective) =>
    rowsOf(collective)
      .filter((row) => !row.rankOrder)
      .map((row) => ({ collective, row })),
  );

  it.each(rows)("are rightly not marked: $collective $row.algorithm", async ({ collective, row }) => {
    const options = { size: 5, count: 777, segmentBytes: 1000, dtype: "f32", fractions: true } as const;
    await expect(runCase(collective, row, options)).rejects.toThrow("should be");
  });
});

describe.each(rowsOf("allReduce"))("allReduce $algorithm", (row) => {
  it.each([2, 3, 6, 8, 13, 33])("gives all of %i ranks the same bits", async (size) => {
    for (const segmentBytes of SEGMENT_BYTES) {
      const options = { size, count: 333, segmentBytes, dtype: "f32", fractions: true, onlyAgree: true } as const;
      await runCase("allReduce", row, options);
    }
  });
});

describe("allReduce doubling", () => {
  const doubling = rowsOf("allReduce").find((row) => row.algorithm === "doubling")!;
  // Associative and not commutative: whatever the nesting, the fold in rank order is the last rank's input.
  const last = ReduceOp.custom({
    name: "last",
    wgsl: "b",
    js: (_: number, b: number) => b,
    identity: 0,
    commutative: false,
  });

  it.each([2, 3, 4, 6, 7, 8, 13])("always has the lower rank's operand on the left, on %i ranks", async (size) => {
    await runCase("allReduce", doubling, { size, count: 33, segmentBytes: 64, dtype: "i32", ops: () => last });
  });
});
