/** Memory of buckets and shares: allocated where a parameter lies, copied and cleared there. */
import { Elementwise } from "../../elementwise/elementwise.ts";
import { UnsupportedError } from "../../errors.ts";
import type { ProcessGroup } from "../../group/process-group.ts";
import { describe } from "../../tensor/describe.ts";
import { type HostView, isSameMemory, overlapOf, type TensorView } from "../../tensor/view.ts";
import { bytesPerElement, type DataType, type HostArray, type Tensor } from "../../types.ts";
import { bytesOf, createBuffer, deviceOf, roundUp } from "../host-copy.ts";

/** `count` elements, all zero, of the dtype of `view` and in its kind of memory. */
export function allocateLike(group: ProcessGroup, view: TensorView, count: number): Tensor {
  if (view.memory === "host") return group.alloc(view.dtype, count);
  const { dtype } = view;
  return { buffer: createBuffer(deviceOf(group), count * bytesPerElement(dtype)), dtype, count };
}

/** Gives back memory that {@link allocateLike} gave. */
export function free(tensor: Tensor): void {
  const view = describe(tensor);
  if (view.memory === "gpu") view.buffer.destroy();
}

/**
 * The elements of `from` into `to`, which has as many of the same dtype in the same kind of memory. A tensor that lies where it
 * is to go stays there.
 * @throws TypeError if a part of both is in the same memory.
 */
export function copy(group: ProcessGroup, from: Tensor, to: Tensor): void {
  const [source, target] = [describe(from), describe(to)];
  if (isSameMemory(source, target)) return;
  if (overlapOf(source, target)) throw new TypeError("a tensor cannot be copied to a place that it overlaps in part");
  new Elementwise(group.device).copy(to, 0, from, 0, source.count);
}

/** Makes all elements zero. */
export function clear(group: ProcessGroup, tensor: Tensor): void {
  const view = describe(tensor);
  if (view.memory === "host") bytesOf(view).fill(0);
  if (view.memory !== "gpu" || view.count === 0) return;
  const device = deviceOf(group);
  const encoder = device.createCommandEncoder();
  encoder.clearBuffer(view.buffer, view.byteOffset, roundUp(view.byteLength));
  device.queue.submit([encoder.finish()]);
}

/** The array of a tensor of f32 or f64 in host memory. */
export function numbersOf(tensor: Tensor): Float32Array | Float64Array {
  const view = describe(tensor);
  if (view.memory !== "host" || (view.dtype !== "f32" && view.dtype !== "f64")) {
    throw new UnsupportedError(
      `arithmetic on a tensor of ${view.dtype} in ${view.memory} memory is not available: use f32 or f64 in host memory`,
    );
  }
  return view.data as Float32Array;
}

/** Elements from `start` on in a part of `tensor`, in the form of `like`: a bare array, or `{ data, dtype }`, of the same class. */
export function formedLike(like: HostView, part: Tensor): Tensor {
  const { buffer, byteOffset, count } = describe(part) as HostView;
  const ArrayClass = like.data.constructor as new (
    buffer: ArrayBufferLike,
    byteOffset: number,
    count: number,
  ) => HostArray;
  const data = new ArrayClass(buffer, byteOffset, count);
  return ArrayBuffer.isView(like.tensor) ? data : { data, dtype: like.dtype };
}

/** The elements that `count` of `dtype` take if the next tensor is to begin at a whole word, as it must in a GPUBuffer. */
export function paddedCount(dtype: DataType, count: number): number {
  const width = bytesPerElement(dtype);
  return roundUp(count * width) / width;
}
