import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { webccl } from "../cli/command.ts";

describe("examples/tensor-parallel-mlp.ts", () => {
  it.each([2, 3])("gives with %i ranks the results and gradients of one process", async (size) => {
    const program = fileURLToPath(new URL("../../examples/tensor-parallel-mlp.ts", import.meta.url));
    const { code, stdout, stderr } = await webccl(["run", "-n", String(size), program]);
    expect(stderr).not.toMatch(/Error/);
    expect(stdout).toContain(`${size} ranks, loss 2.481977; one process, loss 2.481977`);
    const shares = stdout.match(/\d\.\de[+-]\d+/g) ?? [];
    expect(shares).toHaveLength(4);
    for (const share of shares) expect(Number(share)).toBeLessThan(1e-5);
    expect(code).toBe(0);
  });
});
