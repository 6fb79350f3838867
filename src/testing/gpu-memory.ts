/** Test memory of a GPUDevice: every tensor in a buffer of its own, read back together once the case is over. */
import { BUFFER_USAGE, MAP_READ_MODE, TENSOR_USAGE } from "../executor/webgpu/usage.ts";
import { bytesPerElement, type GpuDeviceLike, type GpuTensor } from "../types.ts";
import { GUARD_BYTES, type Placement, type TestMemory } from "./memory.ts";

/** The memory of `device`. */
export function gpuMemory(device: GpuDeviceLike): TestMemory {
  return {
    // A tensor in a GPUBuffer begins at a whole word.
    startOf: (dtype) => GUARD_BYTES + Math.max(4, bytesPerElement(dtype)),
    place: (dtype, region, start, end) => {
      const width = bytesPerElement(dtype);
      const buffer = device.createBuffer({ size: region.byteLength, usage: TENSOR_USAGE });
      device.queue.writeBuffer(buffer, 0, region);
      const tensor: GpuTensor = { buffer, dtype, byteOffset: start, count: (end - start) / width };
      const part = (first: number, count: number) => {
        const byteOffset = start + first * width;
        return byteOffset % 4 === 0 ? { ...tensor, byteOffset, count } : null;
      };
      return { tensor, part, refill: () => device.queue.writeBuffer(buffer, 0, region) };
    },
    collect: (placements) => collect(device, placements),
    // WGSL has no 64-bit floats; their order is that of integers.
    reduces: (dtype, op) => dtype !== "f64" || op === "min" || op === "max",
  };
}

async function collect(device: GPUDevice, placements: readonly Placement[]): Promise<Uint8Array[]> {
  const buffers = placements.map(({ tensor }) => (tensor as GpuTensor).buffer);
  if (buffers.length === 0) return [];
  const size = buffers.reduce((bytes, buffer) => bytes + buffer.size, 0);
  const staging = device.createBuffer({ size, usage: BUFFER_USAGE.MAP_READ | BUFFER_USAGE.COPY_DST });
  const encoder = device.createCommandEncoder();
  let at = 0;
  const parts = buffers.map((buffer) => {
    const start = at;
    encoder.copyBufferToBuffer(buffer, 0, staging, start, buffer.size);
    at += buffer.size;
    return { start, end: at };
  });
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(MAP_READ_MODE);
  const bytes = new Uint8Array(staging.getMappedRange()).slice();
  staging.destroy();
  const regions = parts.map(({ start, end }) => bytes.slice(start, end));
  for (const buffer of buffers) buffer.destroy();
  return regions;
}
