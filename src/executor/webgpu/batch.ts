/**
 * Commands that are encoded and submitted together, and the counters of the work done.
 */
import type { ParameterRing } from "./kernels/parameters.ts";
import type { PassTimer } from "./timer.ts";

/** The work of an executor so far; for tests and benchmarks. */
export interface GpuStats {
  /** Readbacks from the GPU. */
  mapAsyncCalls: number;
  /** Most readbacks under way at once. */
  mostMapsInFlight: number;
  bytesRead: number;
  bytesWritten: number;
  submits: number;
  /** Kernels run. */
  dispatches: number;
  /** GPUBuffers made here and not yet destroyed, without those of `alloc`. */
  liveBuffers: number;
}

/** A command that waits to be encoded. */
export interface Command {
  /** Encodes itself. */
  encode(batch: Batch): void;
  /** The buffers it reads or writes. */
  readonly buffers: readonly GPUBuffer[];
  /** A caller waits for it: the commands after it are submitted apart, and do not delay it. */
  readonly isAwaited?: boolean;
}

/** The target of encoding. */
export interface Batch {
  /** For copies; ends a pass that is open. */
  encoder(): GPUCommandEncoder;
  /** For kernels; opens a pass if none is open. */
  pass(): GPUComputePassEncoder;
}

/** Submits commands from `start` on, up to one that is awaited or the last that has room for its parameters; returns the next one's index. */
export function submitBatch(
  device: GPUDevice,
  commands: readonly Command[],
  start: number,
  parameters: ParameterRing,
  timer: PassTimer | null,
): number {
  const encoder = device.createCommandEncoder();
  let pass: GPUComputePassEncoder | null = null;
  const endPass = () => {
    pass?.end();
    pass = null;
  };
  const batch: Batch = {
    encoder: () => {
      endPass();
      return encoder;
    },
    pass: () => {
      pass ??= encoder.beginComputePass(timer?.nextPass());
      return pass;
    },
  };
  let at = start;
  while (!parameters.isFull) {
    const command = commands[at];
    if (!command) break;
    at++;
    command.encode(batch);
    if (command.isAwaited) break;
  }
  endPass();
  parameters.upload();
  timer?.submitting();
  device.queue.submit([encoder.finish()]);
  return at;
}
