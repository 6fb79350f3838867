/** Memory of buckets and shards: allocated where a parameter lies, copied, cleared and added there. */
import { UnsupportedError } from "../../errors.ts";
import type { ProcessGroup } from "../../group/process-group.ts";
import { describe } from "../../tensor/describe.ts";
import { TENSOR_FLAGS } from "../../tensor/gpu.ts";
import { type GpuView, type HostView, isSameMemory, overlapOf, type TensorView } from "../../tensor/view.ts";
import { bytesPerElement, type DataType, type HostArray, type Tensor } from "../../types.ts";

/** `count` elements, all zero, of the dtype of `view` and in its kind of memory. */
export function allocateLike(group: ProcessGroup, view: TensorView, count: number): Tensor {
  if (view.memory === "host") return group.alloc(view.dtype, count);
  const size = Math.max(4, paddedBytes(count * bytesPerElement(view.dtype)));
  const usage = Object.values(TENSOR_FLAGS).reduce<number>((flags, flag) => flags | flag, 0);
  return { buffer: deviceOf(group).createBuffer({ size, usage }), dtype: view.dtype, count };
}

/** Gives back memory that {@link allocateLike} gave. */
export function free(tensor: Tensor): void {
  const view = describe(tensor);
  if (view.memory === "gpu") view.buffer.destroy();
}

/**
 * The elements of `from` into `to`, which has as many of the same dtype in the same kind of memory. A tensor that lies where it
 * is to go stays there.
 * @throws TypeError if a part of both is in the same memory, or the kinds of memory differ.
 */
export function copy(group: ProcessGroup, from: Tensor, to: Tensor): void {
  const [source, target] = [describe(from), describe(to)];
  if (isSameMemory(source, target) || source.count === 0) return;
  if (overlapOf(source, target)) throw new TypeError("a tensor cannot be copied to a place that it overlaps in part");
  if (source.memory === "host" && target.memory === "host") bytesOf(target).set(bytesOf(source));
  else if (source.memory === "gpu" && target.memory === "gpu") copyOnGpu(group, source, target);
  else throw new TypeError(`a tensor in ${source.memory} memory cannot be copied to ${target.memory} memory`);
}

/** Makes all elements zero. */
export function clear(group: ProcessGroup, tensor: Tensor): void {
  const view = describe(tensor);
  if (view.memory === "host") bytesOf(view).fill(0);
  if (view.memory !== "gpu" || view.count === 0) return;
  const { queue, encoder } = commandsOf(group);
  encoder.clearBuffer(view.buffer, view.byteOffset, paddedBytes(view.byteLength));
  queue.submit([encoder.finish()]);
}

/**
 * Adds the elements of `from` to those of `to`, as many of the same dtype.
 * @throws UnsupportedError for other memory than the host's, and other dtypes than f32 and f64.
 */
export function add(from: Tensor, to: Tensor): void {
  const [source, target] = [numbersOf(from), numbersOf(to)];
  for (let i = 0; i < target.length; i++) target[i] = (target[i] ?? 0) + (source[i] ?? 0);
}

/** The array of a tensor of f32 or f64 in host memory. */
export function numbersOf(tensor: Tensor): Float32Array | Float64Array {
  const view = describe(tensor);
  if (view.memory !== "host" || (view.dtype !== "f32" && view.dtype !== "f64")) {
    throw new UnsupportedError(
      `arithmetic on a tensor of ${view.dtype} in ${view.memory} memory is not available: use f32 or f64 in host memory`,
    );
  }
  return ArrayBuffer.isView(view.tensor) ? (view.tensor as Float32Array) : (view.tensor.data as Float32Array);
}

/** Elements from `start` on in a part of `tensor`, in the form of `like`: a bare array, or `{ data, dtype }`, of the same class. */
export function formedLike(like: HostView, part: Tensor): Tensor {
  const { buffer, byteOffset, count } = describe(part) as HostView;
  const given = ArrayBuffer.isView(like.tensor) ? like.tensor : like.tensor.data;
  const ArrayClass = given.constructor as new (buffer: ArrayBufferLike, byteOffset: number, count: number) => HostArray;
  const data = new ArrayClass(buffer, byteOffset, count);
  return ArrayBuffer.isView(like.tensor) ? data : { data, dtype: like.dtype };
}

/** The elements that `count` of `dtype` take if the next tensor is to begin at a whole word, as it must in a GPUBuffer. */
export function paddedCount(dtype: DataType, count: number): number {
  const width = bytesPerElement(dtype);
  return paddedBytes(count * width) / width;
}

const paddedBytes = (bytes: number) => Math.ceil(bytes / 4) * 4;

function bytesOf({ buffer, byteOffset, byteLength }: HostView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function copyOnGpu(group: ProcessGroup, source: GpuView, target: GpuView): void {
  if (source.buffer === target.buffer) {
    throw new TypeError("a tensor cannot be copied within its GPUBuffer: give it a buffer of its own");
  }
  const { queue, encoder } = commandsOf(group);
  const bytes = paddedBytes(source.byteLength);
  encoder.copyBufferToBuffer(source.buffer, source.byteOffset, target.buffer, target.byteOffset, bytes);
  queue.submit([encoder.finish()]);
}

function commandsOf(group: ProcessGroup): { queue: GPUQueue; encoder: GPUCommandEncoder } {
  const device = deviceOf(group);
  return { queue: device.queue, encoder: device.createCommandEncoder() };
}

/** @throws TypeError if the group has no device. */
function deviceOf(group: ProcessGroup): GPUDevice {
  if (group.device) return group.device;
  throw new TypeError(
    `group "${group.name}" has no GPUDevice for tensors in GPUBuffers: give initProcessGroup their device, or backend: "webgpu"`,
  );
}
