import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { type DeviceReport, DTYPE_OP_PAIRS, LEAST_CASES } from "../../conformance/device-suite.ts";
import { SEED } from "../../executor/random.ts";
import { runDeno } from "../../helpers/deno.ts";

describe("collectives on GPUBuffers in Deno", () => {
  it("give what the reference says, in a pairwise cover of everything, with f16 native", {
    timeout: 170_000,
  }, async () => {
    const program = fileURLToPath(new URL("device-suite.ts", import.meta.url));
    const report: DeviceReport = JSON.parse(await runDeno(program, [String(SEED)]));
    console.log(`collectives on GPUBuffers in Deno: ${JSON.stringify(report)}`);
    expect(report.cases).toBeGreaterThanOrEqual(LEAST_CASES);
    expect(report.pairs).toBe(DTYPE_OP_PAIRS);
    expect(report.executor).toContain("f16 native");
  });
});
