import { describe, expect, it } from "vitest";
import type { AlgorithmFamily } from "../../src/algorithm/rows.ts";
import { ReduceOp } from "../../src/reduce-op.ts";
import { FAMILIES, FOLDS, rowsOf, runCase } from "./cases.ts";
import type { Delivery } from "./simulate.ts";

const SIZES = [1, 2, 3, 4, 5, 7, 8, 16, 33, 64];
const COUNTS = [0, 1, 3, 17, 1000, 4097];
const DELIVERIES: readonly Delivery[] = ["eager", "rendezvous", "shuffled"];
const OPS: ((rank: number) => ReduceOp)[] = [
  () => ReduceOp.SUM,
  () => ReduceOp.AVG,
  () => ReduceOp.MAX,
  (rank) => ReduceOp.premulSum(rank + 2),
];

/** Segments of one element of 4 bytes up to those that hold everything, as far as the number of messages stays small. */
function segmentSizes(size: number, count: number): number[] {
  const elements = size * size * count;
  return [7, 64, 1000, 4096, 65536].filter((bytes) => (elements * 4) / bytes < 4000 || bytes === 65536);
}

for (const collective of FAMILIES) describeFamily(collective);

function describeFamily<C extends AlgorithmFamily>(collective: C): void {
  describe.each(rowsOf(collective))(`${collective} $algorithm`, (row) => {
    it.each(SIZES)("gives every rank what it should, on %i ranks", async (size) => {
      let cases = 0;
      for (const count of COUNTS) {
        for (const segmentBytes of segmentSizes(size, count)) {
          for (const delivery of size > 8 ? [DELIVERIES[cases % 3]!] : DELIVERIES) {
            const variant = cases++;
            const outcome = await runCase(collective, row, {
              size,
              count,
              segmentBytes,
              delivery,
              dtype: "i32",
              seed: variant,
              segmentsInFlight: 2 + (variant % 3),
              root: variant % size,
              ops: OPS[variant % OPS.length]!,
              uneven: variant % 5 > 2,
              inPlace: variant % 7 > 3,
              exclusive: variant % 7 > 3,
            });
            expect(outcome.longestMessage).toBeLessThanOrEqual(Math.max(segmentBytes, 4));
          }
        }
      }
      expect(cases).toBeGreaterThanOrEqual(COUNTS.length);
    });

    if (FOLDS.includes(collective)) {
      it.each([2, 4, 8])("averages floats of %i ranks", async (size) => {
        await runCase(collective, row, { size, count: 1, segmentBytes: 64, dtype: "f32", ops: () => ReduceOp.AVG });
      });
    }
  });
}
