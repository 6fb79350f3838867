/** The bytes of a tensor of any memory in host memory, and back. */
import { LANE_ARRAY } from "../executor/cpu/host-span.ts";
import { GPUBufferUsage, MAP_READ_MODE, TENSOR_USAGE } from "../executor/webgpu/usage.ts";
import type { ProcessGroup } from "../group/process-group.ts";
import { describe } from "../tensor/describe.ts";
import type { TensorView } from "../tensor/view.ts";
import { bytesPerElement, type DataType, type HostTensor, type Tensor } from "../types.ts";

/**
 * The device of the group's GPU tensors.
 * @throws TypeError if it has none.
 */
export function deviceOf(group: ProcessGroup): GPUDevice {
  if (group.device) return group.device;
  throw new TypeError(`group "${group.name}" has no GPU: pass device or backend: "webgpu" to initProcessGroup`);
}

/** A buffer for a tensor on `device`, with room for `bytes`. */
export function createBuffer(device: GPUDevice, bytes: number): GPUBuffer {
  return device.createBuffer({ size: Math.max(4, roundUp(bytes)), usage: TENSOR_USAGE });
}

/** The next multiple of 4, at which a tensor in a GPUBuffer may begin. */
export function roundUp(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}

/**
 * The bytes of a tensor in host memory: the same memory.
 * @throws TypeError if the buffer was detached or became shorter.
 */
export function bytesOf({ buffer, byteOffset, byteLength }: TensorView & { memory: "host" }): Uint8Array {
  if (buffer.byteLength < byteOffset + byteLength) {
    throw new TypeError("a tensor's buffer was detached or became shorter while a call had it");
  }
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** The tensor of `dtype` over these bytes, which begin at a multiple of its width and are a whole number of elements. */
export function hostTensor(dtype: DataType, { buffer, byteOffset, byteLength }: Uint8Array<ArrayBuffer>): HostTensor {
  return { data: new LANE_ARRAY[dtype](buffer, byteOffset, byteLength / bytesPerElement(dtype)), dtype };
}

/** A copy of the tensor's bytes, in order of the elements, little-endian. */
export async function readBytes(group: ProcessGroup, tensor: Tensor): Promise<Uint8Array<ArrayBuffer>> {
  const view = describe(tensor);
  if (view.memory === "gpu") return readBuffer(deviceOf(group), view.buffer, view.byteOffset, view.byteLength);
  const copy = new Uint8Array(view.byteLength);
  if (view.memory === "cuda") await view.buffer.copyTo(copy, view.byteOffset);
  else copy.set(bytesOf(view));
  return copy;
}

/** Puts bytes, as many as the tensor has, in place of its own. */
export async function writeBytes(group: ProcessGroup, tensor: Tensor, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  const view = describe(tensor);
  if (view.memory === "cuda") await view.buffer.copyFrom(bytes, view.byteOffset);
  else if (view.memory === "gpu") await writeBuffer(deviceOf(group), view.buffer, view.byteOffset, bytes);
  else bytesOf(view).set(bytes);
}

/** Bytes of a buffer, as many as asked, from a multiple of 4 on. */
export async function readBuffer(
  device: GPUDevice,
  buffer: GPUBuffer,
  byteOffset: number,
  byteLength: number,
): Promise<Uint8Array<ArrayBuffer>> {
  if (byteLength === 0) return new Uint8Array(0);
  const size = roundUp(byteLength);
  const staging = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  try {
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, byteOffset, staging, 0, size);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(MAP_READ_MODE);
    return new Uint8Array(staging.getMappedRange()).slice(0, byteLength);
  } finally {
    staging.destroy();
  }
}

/** Writes bytes from a multiple of 4 on. The device does it in whole words: the other bytes of the last word stay as they are. */
export async function writeBuffer(
  device: GPUDevice,
  buffer: GPUBuffer,
  byteOffset: number,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<void> {
  const { byteLength } = bytes;
  const whole = byteLength - (byteLength % 4);
  if (whole > 0) device.queue.writeBuffer(buffer, byteOffset, bytes, 0, whole);
  if (whole === byteLength) return;
  const last = await readBuffer(device, buffer, byteOffset + whole, 4);
  last.set(bytes.subarray(whole));
  device.queue.writeBuffer(buffer, byteOffset + whole, last);
}
