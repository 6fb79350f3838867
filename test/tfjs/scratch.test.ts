import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { takeScratch } from "../../src/tfjs/scratch.ts";
import { onRanks } from "./ranks.ts";

/** Takes f32 arrays of these counts at once, gives them back, and returns them. */
function useAtOnce(group: ProcessGroup, counts: readonly number[]): object[] {
  const taken = counts.map((count) => takeScratch(group, "f32", count));
  for (const { giveBack } of taken) giveBack();
  return taken.map(({ data }) => data);
}

describe("takeScratch()", () => {
  it("gives the same arrays in each step, also where two models train in turn", async () => {
    const bucketCounts = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(bucketCounts, bucketCounts, async (one, other) => {
        await onRanks(1, async (group) => {
          const arrays = new Set([...useAtOnce(group, one), ...useAtOnce(group, other)]);
          const { size } = arrays;
          for (let step = 0; step < 3; step++) {
            for (const array of [...useAtOnce(group, one), ...useAtOnce(group, other)]) arrays.add(array);
          }
          expect(arrays.size).toBe(size);
        });
      }),
      { numRuns: 20 },
    );
  });

  it("keeps at most twice the bytes that were in use at once, whatever lengths were asked for", async () => {
    const steps = fc.array(fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 3 }), { minLength: 1 });
    await fc.assert(
      fc.asyncProperty(steps, async (lists) => {
        await onRanks(1, async (group) => {
          const used = new Set(lists.flatMap((counts) => useAtOnce(group, counts)));
          const most = Math.max(...lists.map((counts) => counts.reduce((sum, count) => sum + count, 0)));
          let kept = 0;
          for (let count = 1; count <= 50; count++) {
            while (used.has(takeScratch(group, "f32", count).data)) kept += count;
          }
          expect(kept).toBeLessThanOrEqual(2 * most);
        });
      }),
      { numRuns: 40 },
    );
  });
});
