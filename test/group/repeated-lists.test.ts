/** Lists that are given again and again, over every medium (threads: test/runtime/node/threads.test.ts). */
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { HostSpan } from "../../src/executor/cpu/host-span.ts";
import { TEST_TRANSPORTS, withGroup, withMemoryGroups } from "../conformance/harness.ts";
import { giveListsAgain } from "./repeated-lists.ts";

describe("a list that is given again", () => {
  it.each(TEST_TRANSPORTS)("is reduced as it is at each call, over %s", { timeout: 60_000 }, async (transport) => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.integer({ min: 2, max: 4 }), async (seed, size) => {
        const wrong = await withGroup(transport, size, (group) => giveListsAgain(group, seed, 40));
        expect(wrong.flat()).toEqual([]);
      }),
      { numRuns: 4 },
    );
  });

  it("has no new view made of its tensors", async () => {
    const views = vi.spyOn(HostSpan.prototype, "lanes");
    const made = await withMemoryGroups(2, async (group) => {
      const list = Array.from({ length: 100 }, () => new Float32Array(16).fill(1));
      await group.allReduceAll(list);
      await group.barrier();
      const before = views.mock.calls.length;
      for (let i = 0; i < 10; i++) await group.allReduceAll(list, { op: "max" });
      await group.allReduceAll([...list], { op: "max" });
      await group.barrier();
      expect(list.every((tensor) => tensor[15] === 2)).toBe(true);
      return views.mock.calls.length - before;
    });
    // Twice of each tensor, for the plan with this operation, on each rank; and of the whole, before and after each fold.
    expect(Math.max(...made)).toBeLessThanOrEqual(2 * (2 * 100 + 2 * 11));
    views.mockRestore();
  });
});
