/** 1,000 random lists: does computeBucketAssignmentBySize give the buckets of PyTorch? */
import { deepStrictEqual } from "node:assert";
import { pytorchPython } from "../../../scripts/pytorch.ts";
import { hostTensor } from "../../../src/ddp/host-copy.ts";
import { computeBucketAssignmentBySize } from "../../../src/ddp/index.ts";
import { bytesPerElement, type DataType } from "../../../src/types.ts";
import { runPython, seedOfRun } from "../python.ts";

interface Case {
  tensors: [DataType, number][];
  limitsBytes: number[];
  expectSparse: boolean[];
  indices: number[];
  buckets: number[][];
  bucketLimitsBytes: number[];
}

const { cases } = runPython(pytorchPython(), "buckets.py", 1000, seedOfRun()) as { cases: Case[] };
for (const { tensors, limitsBytes, expectSparse, indices, buckets, bucketLimitsBytes } of cases) {
  const list = tensors.map(([dtype, count]) => hostTensor(dtype, new Uint8Array(count * bytesPerElement(dtype))));
  const own = computeBucketAssignmentBySize(list, limitsBytes, expectSparse, indices);
  deepStrictEqual(own, [buckets, bucketLimitsBytes], JSON.stringify({ tensors, limitsBytes, expectSparse, indices }));
}
console.log(`${cases.length} lists have PyTorch's buckets`);
