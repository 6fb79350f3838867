import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { computeBucketAssignmentBySize } from "../../src/ddp/bucket-assignment.ts";
import { bytesPerElement, type DataType, type HostArray, type Tensor } from "../../src/types.ts";

interface Case {
  tensors: (readonly [dtype: DataType, count: number])[];
  limits: number[];
  expectSparse: boolean[];
  indices: number[];
  buckets: number[][];
  bucketLimits: number[];
}

const read = (name: string) => JSON.parse(readFileSync(new URL(`vectors/${name}`, import.meta.url), "utf8")).cases;

/** Recorded by test/oracles/buckets.py with PyTorch 2.15. */
const CASES: Case[] = read("buckets.json").map((one: Record<string, never>) => ({
  ...one,
  limits: one.limitsBytes,
  bucketLimits: one.bucketLimitsBytes,
}));

interface RecordedOrRefused {
  tensors: { elements: number; dtype: DataType; bytes: number }[];
  limits: number[];
  expectSparseGradient: boolean[];
  tensorIndices: number[];
  error?: string;
  buckets: number[][];
  bucketLimits: number[];
}

const RECORDED: RecordedOrRefused[] = read("buckets-errors.json");

const zeros = new ArrayBuffer(8 * 30_000);

function tensorOf(dtype: DataType, count: number): Tensor {
  const classes = { 1: Uint8Array, 2: Uint16Array, 4: Float32Array, 8: Float64Array } as const;
  const width = bytesPerElement(dtype) as 1 | 2 | 4 | 8;
  const buffer = count * width > zeros.byteLength ? new ArrayBuffer(count * width) : zeros;
  if (dtype === "i64") return new BigInt64Array(buffer, 0, count);
  const data = new classes[width](buffer, 0, count) as HostArray;
  return dtype === "f32" || dtype === "f64" ? data : { data, dtype };
}

describe("computeBucketAssignmentBySize()", () => {
  it("gives the buckets and limits of PyTorch in 300 recorded cases", () => {
    expect(CASES).toHaveLength(300);
    for (const { tensors, limits, expectSparse, indices, buckets, bucketLimits } of CASES) {
      const list = tensors.map(([dtype, count]) => tensorOf(dtype, count));
      // PyTorch read flags behind the end of its list for larger indices: which it found, its buckets without a limit tell.
      const flags = Array.from({ length: 100 }, (_, index) =>
        index < tensors.length
          ? (expectSparse[index] ?? false)
          : buckets.some(([first], bucket) => first === index && bucketLimits[bucket] === 0),
      );
      expect(computeBucketAssignmentBySize(list, limits, flags, indices)).toEqual([buckets, bucketLimits]);
    }
  });

  it("refuses what PyTorch refuses, and else gives its buckets, in 200 recorded cases", () => {
    expect(RECORDED).toHaveLength(200);
    for (const { tensors, limits, expectSparseGradient, tensorIndices, error, buckets, bucketLimits } of RECORDED) {
      const list = tensors.map(({ dtype, elements }) => ({ tensor: tensorOf(dtype, elements), shape: [elements] }));
      const assign = () => computeBucketAssignmentBySize(list, limits, expectSparseGradient, tensorIndices);
      if (error) expect(assign).toThrow(RangeError);
      else expect(assign()).toEqual([buckets, bucketLimits]);
    }
  });

  const f32 = new Float32Array(1);
  it.each<[says: RegExp, ...args: unknown[]]>([
    [/there are no tensors/, [], [1]],
    [/there are no limits/, [f32], []],
    [/tensors must be a list/, f32, [1]],
    [/limits must be a list/, [f32], 1],
    [/expectSparse must be a list/, [f32], [1], true],
    [/tensors\[1\]: an Array is not a tensor/, [f32, [1]], [1]],
    [/expectSparse has 1 flags, and the largest index is 1/, [f32, f32], [1], [true]],
    [/expectSparse has 2 flags, and the largest index is 7/, [f32, f32], [1], [true, false], [7, 0]],
    [/tensorIndices has 2 entries/, [f32], [1], [], [0, 1]],
    [/limits must hold whole numbers from 0 on, got -1/, [f32], [-1]],
    [/limits must hold whole numbers from 0 on, got 0.5/, [f32], [0.5]],
    [/tensorIndices must hold whole numbers from 0 on, got NaN/, [f32], [1], [], [Number.NaN]],
    [/tensorIndices has 3 twice/, [f32, f32], [1], [], [3, 3]],
  ])("says %s", (says, ...args) => {
    expect(() => computeBucketAssignmentBySize(...(args as Parameters<typeof computeBucketAssignmentBySize>))).toThrow(
      says,
    );
  });
});
