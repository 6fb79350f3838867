/** A GPU's executor: the contract of all executors, and more. */
import type { DataType, GpuTensor } from "../types.ts";
import type { Executor } from "./executor.ts";
import type { GpuStats } from "./webgpu/batch.ts";

/** An executor whose counters and device can be seen. */
export interface GpuExecutor extends Executor {
  readonly device: GPUDevice;
  readonly stats: Readonly<GpuStats>;
  /** How f16 is summed and multiplied: by the device's own f16, or in f32 from packed halves. */
  readonly f16: "native" | "packed";
  readonly memory: GpuMemory;
  alloc(dtype: DataType, count: number): GpuTensor;
}

/** The part of a device's memory that webccl holds, without the buffers that `alloc` gave. */
export interface GpuMemory {
  /** GPUBuffers made and not destroyed. */
  buffers: number;
  /** Those of them that lie idle, to be used again: for readbacks, and for intermediate results. */
  stagingBytes: number;
  scratchBytes: number;
}
