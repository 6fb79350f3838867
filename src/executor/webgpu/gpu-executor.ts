/** What a GPU's executor shows beyond the contract of all. */
import type { DataType, GpuTensor } from "../../types.ts";
import type { Executor } from "../executor.ts";
import type { GpuStats } from "./batch.ts";

/** An executor whose counters and device can be seen. */
export interface GpuExecutor extends Executor {
  readonly device: GPUDevice;
  readonly stats: Readonly<GpuStats>;
  /** "native" or "packed": what sums and multiplies f16. */
  readonly f16: "native" | "packed";
  readonly memory: GpuMemory;
  alloc(dtype: DataType, count: number): GpuTensor;
}

/** What webccl holds of a device's memory, beside what `alloc` gave. */
export interface GpuMemory {
  /** GPUBuffers made and not destroyed. */
  buffers: number;
  /** Of these, what lies idle, to be used again: for readbacks, and for intermediate results. */
  stagingBytes: number;
  scratchBytes: number;
}
