import { afterAll, describe, expect, it } from "vitest";
import {
  benchGpuFold,
  benchGpuKernels,
  type GpuKernelRow,
  medianRatio,
} from "../../src/cli/kernels/bench-gpu-kernels.ts";
import { testExecutor } from "../helpers/gpu.ts";

const gpu = await testExecutor();
afterAll(() => gpu.dispose());

describe("benchGpuKernels()", () => {
  it("has a row for each operation that the dtype has on a GPU", async () => {
    const seen: GpuKernelRow[] = [];
    const rows = await benchGpuKernels(gpu, {
      bytes: 65_536,
      dtypes: ["f32", "f64", "u8"],
      ops: ["sum", "avg", "band", "min"],
      onRows: (some) => seen.push(...some),
    });
    expect(rows.map(({ dtype, op }) => `${dtype} ${op}`)).toEqual([
      ...["f32 sum", "f32 avg", "f32 min", "f64 min", "u8 sum", "u8 avg", "u8 band", "u8 min"],
    ]);
    expect(seen).toEqual(rows);
    for (const { gpuGBs, copyGBs, share } of rows) {
      expect(gpuGBs).toBeGreaterThan(0);
      expect(copyGBs).toBeGreaterThan(0);
      expect(share).toBe(gpuGBs / copyGBs);
    }
  });
});

describe("benchGpuFold()", () => {
  it("measures the sum, the bare addition and the folds in one run", async () => {
    const row = await benchGpuFold(gpu, 2 ** 16);
    for (const ms of [row.sumMs, row.bareMs, row.fourMs, row.threeMs, row.copyMs]) expect(ms).toBeGreaterThan(0);
    for (const ratio of [row.ratio, row.fourShare]) expect(ratio).toBeGreaterThan(0);
  });
});

describe("medianRatio()", () => {
  it("is the middle one of the rounds' ratios, whatever the rounds took", () => {
    expect(medianRatio([10, 300, 8], [20, 100, 8])).toBe(1);
  });
});
