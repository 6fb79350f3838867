/**
 * Test memory: where the tensors of a case live. Each lies between guard bytes, in a region of its own; a case is done
 * with all of them at once.
 */

import { tensorOver } from "../tensor/host.ts";
import { bytesPerElement, type DataType, type HostArray, type Tensor } from "../types.ts";
import type { CaseOp } from "./case-op.ts";
import { viewOf } from "./reference.ts";

/** The value of the bytes around a tensor, and of an output before the call. */
export const GUARD = 0xa5;
/** Bytes kept free on each side of a tensor, at least. */
export const GUARD_BYTES = 16;

/** A tensor in its region. */
export interface Placement {
  /** The tensor, to be passed to a call. */
  readonly tensor: Tensor;
  /** Elements `start` to `start + count`, in the same memory; null where this memory has no tensor that begins there. */
  part(start: number, count: number): Tensor | null;
  /** The whole region is again as it was placed. */
  refill(): void;
}

/** Host arrays, or the buffers of a device. */
export interface TestMemory {
  /** A tensor made of bytes `start` to `end` of `region`, whose contents are copied. `start` is a multiple of the element's size. */
  place(dtype: DataType, region: Uint8Array<ArrayBuffer>, start: number, end: number): Placement;
  /** Where in its region a tensor begins: past the guard, and aligned no better than its dtype and this memory require. */
  startOf(dtype: DataType): number;
  /** The regions as they are now. The placements must not be used afterwards. */
  collect(placements: readonly Placement[]): Promise<Uint8Array[]>;
  /** Can tensors in this memory be reduced so? If not, the call must reject with an UnsupportedError that names the alternative. */
  reduces(dtype: DataType, op: CaseOp): boolean;
}

/** Typed arrays; floats of 8 and 16 bits as their bits. */
export const hostMemory: TestMemory = {
  // One element past the start of a 16-byte line, so that kernels meet data that is not aligned for them.
  startOf: (dtype) => GUARD_BYTES + bytesPerElement(dtype),
  place: (dtype, region, start, end) => {
    const view = viewOf(dtype, region.slice().buffer, start, (end - start) / bytesPerElement(dtype));
    const part = (first: number, count: number) => tensorOver(dtype, view.subarray(first, first + count));
    return { tensor: tensorOver(dtype, view), part, refill: () => new Uint8Array(view.buffer).set(region) };
  },
  collect: async (placements) =>
    placements.map(({ tensor }) => new Uint8Array(("data" in tensor ? tensor.data : (tensor as HostArray)).buffer)),
  reduces: () => true,
};
