import fc from "fast-check";
import { describe, it } from "vitest";
import {
  CASE_COLLECTIVES,
  CASE_OPS,
  CaseData,
  type CaseSpec,
  conformanceCase,
  isCase,
  SeededRandom,
} from "../../src/testing/index.ts";
import { DATA_TYPES } from "../../src/types.ts";
import { withMemoryGroups } from "./harness.ts";

const TIMEOUT_MS = 120_000;

/** A case that exists at `size` ranks. */
function caseArbitrary(size: number): fc.Arbitrary<CaseSpec> {
  return fc
    .record({
      collective: fc.constantFrom(...CASE_COLLECTIVES),
      dtype: fc.constantFrom(...DATA_TYPES),
      op: fc.constantFrom(...CASE_OPS, null),
      count: fc.oneof(fc.nat(40), fc.nat(5000)),
      seed: fc.nat(2 ** 29 - 1),
    })
    .filter(({ collective, dtype, op }) => isCase(collective, dtype, op, size));
}

/** Cases to run at once. Their seeds differ, and so do the tags of their messages. */
function batchOf(size: number): fc.Arbitrary<CaseSpec[]> {
  return fc.uniqueArray(caseArbitrary(size), { minLength: 1, maxLength: 5, selector: ({ seed }) => seed });
}

const plan = fc.integer({ min: 1, max: 8 }).chain((size) =>
  fc.record({
    size: fc.constant(size),
    segmentBytes: fc.constantFrom(64, 1000, 4096, 65_536),
    deterministic: fc.boolean(),
    /** Cases of one batch run at once; batches follow each other. */
    batches: fc.array(batchOf(size), { minLength: 1, maxLength: 4 }),
    awaitSeed: fc.nat(),
  }),
);

describe("ProcessGroup", () => {
  it("is right for whatever is called, at once or one after the other", { timeout: TIMEOUT_MS }, async () => {
    await fc.assert(
      fc.asyncProperty(plan, async ({ size, segmentBytes, deterministic, batches, awaitSeed }) => {
        const data = new CaseData(20);
        await withMemoryGroups(
          size,
          async (group, rank) => {
            for (const batch of batches) {
              // Every rank starts the works of a batch in the same order, and each awaits them in its own.
              const order = new SeededRandom(awaitSeed, rank);
              const started = batch.map((spec) => conformanceCase(spec, data).run(group));
              for (const work of order.shuffle(started)) await work;
            }
          },
          { segmentBytes, deterministic },
        );
      }),
      { numRuns: 100, interruptAfterTimeLimit: TIMEOUT_MS - 20_000, markInterruptAsFailure: true },
    );
  });
});
