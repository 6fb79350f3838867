import { describe, expect, it } from "vitest";
import { conformanceCases } from "../../src/testing/index.ts";
import { checkCases } from "./harness.ts";

/** Every collective × dtype × op × count, at one number of ranks over memory. Two files call it, to run side by side. */
export function describeFullProduct(size: number, expected: number): void {
  describe("ProcessGroup", () => {
    it(`runs every collective, dtype, op and count with ${size} ranks`, { timeout: 400_000 }, async () => {
      const cases = [...conformanceCases({ size, seed: size })];
      const ran = await checkCases("memory", size, cases, { timeoutMs: 380_000 });
      console.log(`process group conformance, memory, ${size} ranks: ${ran} cases`);
      expect(ran).toBe(expected);
    });
  });
}
