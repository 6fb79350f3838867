/** Tensors of ONNX Runtime that webccl makes: joined outputs, and those that came from another rank. */
import { arrayFor, isGpuType, type OrtOutput, type OrtTensorClass, type OrtType } from "./onnx-runtime.ts";

/** STORAGE, COPY_SRC and COPY_DST of GPUBufferUsage, which only a page has as a global. */
const TENSOR_USAGE = 0x80 | 0x4 | 0x8;
/** MAP_READ and COPY_DST. */
const STAGING_USAGE = 0x1 | 0x8;
const MAP_READ = 0x1;

/** Kernels of ONNX Runtime read vectors of four words, so that its own buffers have a multiple of 16 bytes. */
const BUFFER_UNIT = 16;

/** A buffer in which a tensor of so many bytes may lie. */
export function createTensorBuffer(device: GPUDevice, bytes: number): GPUBuffer {
  const size = Math.max(1, Math.ceil(bytes / BUFFER_UNIT)) * BUFFER_UNIT;
  return device.createBuffer({ size, usage: TENSOR_USAGE });
}

/** The tensor of these dims in the first `bytes` of `buffer`. Its `getData` reads them, its `dispose` destroys the buffer. */
export function gpuTensor<T extends OrtOutput>(
  Tensor: OrtTensorClass<T>,
  { device, buffer }: { device: GPUDevice; buffer: GPUBuffer },
  { type, dims, bytes }: { type: OrtType; dims: readonly number[]; bytes: number },
): T {
  if (!isGpuType(type)) throw new TypeError(`ONNX Runtime keeps no ${type} tensor in a GPUBuffer`);
  return Tensor.fromGpuBuffer(buffer, {
    dataType: type,
    dims,
    download: async () => arrayFor(type, (await download(device, buffer)).slice(0, bytes)),
    dispose: () => buffer.destroy(),
  });
}

/** All bytes of a buffer. */
async function download(device: GPUDevice, buffer: GPUBuffer): Promise<ArrayBuffer> {
  const staging = device.createBuffer({ size: buffer.size, usage: STAGING_USAGE });
  try {
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, 0, staging, 0, buffer.size);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(MAP_READ);
    return staging.getMappedRange().slice(0);
  } finally {
    staging.destroy();
  }
}
