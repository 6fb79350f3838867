import { describe, expect, it } from "vitest";
import { initProcessGroup } from "../../../src/browser/index.ts";
import { DTYPE_OP_PAIRS, LEAST_CASES, runDeviceSuite } from "../../conformance/device-suite.ts";

describe("collectives on GPUBuffers in a browser", () => {
  it("give what the reference says, in a pairwise cover of everything", { timeout: 170_000 }, async () => {
    const report = await runDeviceSuite(initProcessGroup, Math.floor(Math.random() * 2 ** 32));
    console.log(`collectives on GPUBuffers in a browser: ${JSON.stringify(report)}`);
    expect(report.cases).toBeGreaterThanOrEqual(LEAST_CASES);
    expect(report.pairs).toBe(DTYPE_OP_PAIRS);
  });
});
