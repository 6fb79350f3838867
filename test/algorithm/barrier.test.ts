import { describe, expect, it } from "vitest";
import { barrier } from "../../src/algorithm/messages/barrier.ts";
import { simulate } from "./simulate.ts";

describe("barrier()", () => {
  it.each([1, 2, 3, 4, 5, 7, 8, 16, 33, 64])("lets no rank out of %i before the last one is in", async (size) => {
    for (const delivery of ["eager", "rendezvous", "shuffled"] as const) {
      for (const last of new Set([0, size >> 1, size - 1])) {
        const entered = new Set<number>();
        await simulate({ size, segmentBytes: 64, delivery, seed: last + 1 }, async (context) => {
          // The late rank comes when the others have had their turns.
          if (context.rank === last) await new Promise((resolve) => setImmediate(resolve));
          entered.add(context.rank);
          await barrier(context);
          expect(entered.size).toBe(size);
        });
      }
    }
  });
});
