import { describe, expect, it } from "vitest";
import { conformanceCases } from "../../src/testing/index.ts";
import { checkCases } from "./harness.ts";

const SIZE = 3;

describe("ProcessGroup", () => {
  it("runs every collective, dtype, op and count with 3 ranks", { timeout: 400_000 }, async () => {
    const cases = [...conformanceCases({ size: SIZE, seed: SIZE })];
    const ran = await checkCases("memory", SIZE, cases, { timeoutMs: 380_000 });
    console.log(`process group conformance, memory, ${SIZE} ranks: ${ran} cases`);
    expect(ran).toBe(9918);
  });
});
