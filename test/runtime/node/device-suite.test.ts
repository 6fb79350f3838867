import { describe, expect, it } from "vitest";
import { initProcessGroup } from "../../../src/node/index.ts";
import { DTYPE_OP_PAIRS, LEAST_CASES, runDeviceSuite } from "../../conformance/device-suite.ts";
import { SEED } from "../../executor/random.ts";
import { gpuEnvironment } from "../../helpers/gpu.ts";

Object.assign(process.env, gpuEnvironment());

describe("collectives on GPUBuffers in Node", () => {
  it("give what the reference says, in a pairwise cover of everything", { timeout: 120_000 }, async () => {
    const report = await runDeviceSuite(initProcessGroup, SEED);
    console.log(`collectives on GPUBuffers in Node: ${JSON.stringify(report)}`);
    expect(report.cases).toBeGreaterThanOrEqual(LEAST_CASES);
    expect(report.pairs).toBe(DTYPE_OP_PAIRS);
  });
});
