/** Where the tensors of `webccl bench` are: host arrays, or GPUBuffers or CUDA memory that mirror them. */
import type { NcclLibrary } from "../../backend/nccl/library.ts";
import { GPUBufferUsage, MAP_READ_MODE, TENSOR_USAGE } from "../../executor/webgpu/usage.ts";
import { bytesPerElement, type DataType, type HostArray, type HostTensor, type Tensor } from "../../types.ts";

/** A tensor made of blocks of equal length. */
export interface BenchTensor {
  /** The tensor's contents, before `upload` or after `download`. */
  readonly host: HostArray;
  readonly tensor: Tensor;
  /** Elements `start` to `start + count` of both. */
  block(start: number, count: number): { host: HostTensor; tensor: Tensor };
  /** Makes `host` the tensor's contents, and the other way round. */
  upload(): Promise<void>;
  download(): Promise<void>;
  free(): void;
}

export function hostBenchTensor(data: HostArray, dtype: DataType): BenchTensor {
  const block = (start: number, count: number) => {
    const tensor = { data: data.subarray(start, start + count), dtype };
    return { host: tensor, tensor };
  };
  return { host: data, tensor: { data, dtype }, block, upload: async () => {}, download: async () => {}, free() {} };
}

export function gpuBenchTensor(device: GPUDevice, host: HostArray, dtype: DataType): BenchTensor {
  const bytes = new Uint8Array(host.buffer as ArrayBuffer, host.byteOffset, host.byteLength);
  const size = Math.max(4, Math.ceil(host.byteLength / 4) * 4);
  const buffer = device.createBuffer({ size, usage: TENSOR_USAGE });
  return {
    host,
    tensor: { buffer, dtype, count: host.length },
    block: (start, count) => ({
      host: { data: host.subarray(start, start + count), dtype },
      tensor: { buffer, dtype, byteOffset: start * bytesPerElement(dtype), count },
    }),
    upload: async () => {
      const padded = new Uint8Array(size);
      padded.set(bytes);
      device.queue.writeBuffer(buffer, 0, padded);
    },
    download: async () => {
      const staging = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(buffer, 0, staging, 0, size);
      device.queue.submit([encoder.finish()]);
      await staging.mapAsync(MAP_READ_MODE);
      bytes.set(new Uint8Array(staging.getMappedRange(), 0, bytes.length));
      staging.destroy();
    },
    free: () => buffer.destroy(),
  };
}

/** `device` is the rank's CUDA device. */
export function cudaBenchTensor(
  { DeviceBuffer }: NcclLibrary,
  device: number,
  host: HostArray,
  dtype: DataType,
): BenchTensor {
  const bytes = new Uint8Array(host.buffer, host.byteOffset, host.byteLength);
  const cuda = new DeviceBuffer(Math.max(1, host.byteLength), { device, lazy: false });
  return {
    host,
    tensor: { cuda, dtype, count: host.length },
    block: (start, count) => ({
      host: { data: host.subarray(start, start + count), dtype },
      tensor: { cuda, dtype, byteOffset: start * bytesPerElement(dtype), count },
    }),
    upload: async () => void (bytes.length > 0 && (await cuda.copyFrom(bytes))),
    download: async () => void (bytes.length > 0 && (await cuda.copyTo(bytes))),
    free: () => cuda.dispose(),
  };
}
