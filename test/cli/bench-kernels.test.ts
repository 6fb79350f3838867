import { describe, expect, it } from "vitest";
import { benchKernels, type KernelRow } from "../../src/cli/kernels/bench-kernels.ts";

describe("benchKernels", () => {
  it("measures each operation that a dtype has, and tells each row at once", async () => {
    const seen: KernelRow[] = [];
    const rows = await benchKernels({ bytes: 12_288, dtypes: ["f32", "i64"], onRow: (row) => seen.push(row) });
    expect(seen).toEqual(rows);
    const floats = ["sum", "avg", "product", "min", "max", "premul-sum"];
    const integers = ["sum", "avg", "product", "min", "max", "band", "bor", "bxor", "premul-sum"];
    expect(rows.map((row) => `${row.dtype} ${row.op}`)).toEqual([
      ...floats.map((op) => `f32 ${op}`),
      ...integers.map((op) => `i64 ${op}`),
    ]);
    for (const row of rows) {
      expect(row.count).toBe(row.dtype === "f32" ? 1024 : 512);
      for (const rate of [row.plainGBs, row.wasmGBs, row.copiedGBs, row.memcpyGBs]) expect(rate).toBeGreaterThan(0);
      expect(row.ratio).toBeCloseTo(row.wasmGBs / row.plainGBs);
    }
  });

  it("refuses a size that holds no element", async () => {
    await expect(benchKernels({ bytes: 16, dtypes: ["f64"] })).rejects.toThrow(
      "16 bytes do not hold three elements of f64",
    );
  });
});
