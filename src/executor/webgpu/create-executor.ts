/**
 * The webgpu executor: tensors in GPUBuffers, reduced by WGSL kernels with the bits of the cpu executor. docs/arithmetic.md
 * says which, and where a GPU's own arithmetic shows.
 */

import type { GpuExecutor } from "../gpu-executor.ts";
import { openDevice, type WebgpuExecutorOptions } from "./adapter.ts";
import { GpuDevice } from "./device.ts";
import { type Arithmetic, arithmeticIdOfGpu, faultOfNativeF16 } from "./self-test.ts";
import { WebgpuExecutor } from "./webgpu-executor.ts";

export type { GpuExecutor, GpuMemory } from "../gpu-executor.ts";
export type { WebgpuExecutorOptions } from "./adapter.ts";
export type { GpuStats } from "./batch.ts";
export type { ReadbackTimes } from "./timer.ts";

/**
 * An executor for tensors in GPU memory, on the device given, which is left open at the end, or on one of its own.
 * @throws NoAdapterError if there is no device and no adapter for one.
 */
export async function createWebgpuExecutor(options: WebgpuExecutorOptions = {}): Promise<GpuExecutor> {
  const { device: gpuDevice, description, limits, close } = await openDevice(options);
  const device = GpuDevice.of(gpuDevice);
  const user = device.join();
  const { onReadback } = options;
  let stopListening = () => {};
  const closeAll = () => {
    stopListening();
    close();
  };
  const make = (arithmetic: Arithmetic) => new WebgpuExecutor(user, description, limits, arithmetic, closeAll);
  try {
    let tested = arithmetics.get(gpuDevice);
    if (!tested) {
      // The buffers of the self-test are too small for anything else.
      tested = testArithmetic(make, gpuDevice.features.has("shader-f16")).finally(() => device.evict());
      arithmetics.set(gpuDevice, tested);
    }
    const arithmetic = await tested;
    if (onReadback) stopListening = device.readbacks.listen(onReadback);
    return make(options.f16 === "packed" ? { ...arithmetic, f16: "packed", f16Note: "as asked" } : arithmetic);
  } catch (error) {
    arithmetics.delete(gpuDevice);
    device.leave(user);
    close();
    throw error;
  }
}

/** Self-tests done, or under way. */
const arithmetics = new WeakMap<GPUDevice, Promise<Arithmetic>>();

async function testArithmetic(make: (arithmetic: Arithmetic) => GpuExecutor, hasF16: boolean): Promise<Arithmetic> {
  const untested = { id: "", f16Note: "" };
  const packed = make({ ...untested, f16: "packed" });
  const id = await arithmeticIdOfGpu(packed);
  if (!hasF16) return { id, f16: "packed", f16Note: "the adapter has no shader-f16" };
  const f16Note = await faultOfNativeF16(make({ ...untested, f16: "native" }), packed);
  return { id, f16: f16Note === "" ? "native" : "packed", f16Note };
}
