/** Extent: which bytes of which memory a tensor is, so that two can be told apart. */

import { bytesPerElement, type Tensor } from "../types.ts";
import { describeCudaTensor, isCudaTensor } from "./cuda.ts";
import { isGpuTensor } from "./gpu.ts";

/** Bytes `start` to `end` of an ArrayBuffer, a GPUBuffer or a DeviceBuffer. */
export interface Extent {
  readonly memory: object;
  readonly start: number;
  readonly end: number;
}

/** Where `tensor` lies. */
export function extentOf(tensor: Tensor): Extent {
  if (isGpuTensor(tensor)) {
    const { buffer, dtype, byteOffset = 0, count } = tensor;
    const end = count === undefined ? buffer.size : byteOffset + count * bytesPerElement(dtype);
    return { memory: buffer, start: byteOffset, end };
  }
  if (isCudaTensor(tensor)) {
    const { cuda, dtype, byteOffset, count } = describeCudaTensor(tensor);
    return { memory: cuda, start: byteOffset, end: byteOffset + count * bytesPerElement(dtype) };
  }
  const { buffer, byteOffset, byteLength } = "dtype" in tensor ? tensor.data : tensor;
  return { memory: buffer, start: byteOffset, end: byteOffset + byteLength };
}

/** The bytes that two extents share, or null. */
export function overlapOf(a: Extent, b: Extent): { start: number; end: number } | null {
  const start = Math.max(a.start, b.start);
  const end = Math.min(a.end, b.end);
  return a.memory === b.memory && start < end ? { start, end } : null;
}

/** Are they the same bytes? */
export function isSameExtent(a: Extent, b: Extent): boolean {
  return a.memory === b.memory && a.start === b.start && a.end === b.end;
}
