/** The executors of one rank: the cpu's, which every rank has, and a GPU's where the settings want one. */

import { NoAdapterError, UnsupportedError } from "../errors.ts";
import { createCpuExecutor } from "../executor/cpu/cpu-executor.ts";
import type { AddressableExecutor, Executor, HostExecutor } from "../executor/executor.ts";
import type { GpuExecutor, WebgpuExecutorOptions } from "../executor/webgpu/create-executor.ts";
import type { Platform } from "../platform.ts";
import type { Cleanup } from "./cleanup.ts";
import type { Settings } from "./init-options.ts";
import type { Threads } from "./media/threads.ts";

/** What a rank reduces with. */
export interface Executors {
  readonly cpu: HostExecutor;
  readonly gpu: GpuExecutor | null;
  /** Why there is a GPU, or why not. */
  readonly gpuReason: string;
  /** All of them; the first serves calls without tensors. */
  readonly all: readonly Executor[];
}

/** Opens them. The cpu executor of a rank that may have memory in common with others works in that. */
export async function openExecutors(
  platform: Platform,
  settings: Settings,
  sharing: { readonly executor: AddressableExecutor | null } | null,
  undo: Cleanup,
): Promise<Executors> {
  const { wasm, executor } = settings.internal;
  const cpu = sharing?.executor ?? executor ?? (await createCpuExecutor(wasm === undefined ? {} : { wasm }));
  undo.push(() => cpu.dispose());
  const { gpu, reason } = await openGpu(platform, settings);
  if (gpu) undo.push(() => gpu.dispose());
  return { cpu, gpu, gpuReason: reason, all: gpu ? [cpu, gpu] : [cpu] };
}

/** This rank's part in the job of threads that it was started for; null if it is no such thread, or another transport is asked for. */
export async function joinThreads(
  platform: Platform,
  { transport, method, internal }: Settings,
): Promise<Threads | null> {
  const forced = transport === "shared-memory";
  const wanted = forced || (transport === "auto" && method.protocol !== "memory:" && internal.wasm !== false);
  const job = wanted ? platform.threadJob() : null;
  const threads = job && (await (await import("./media/threads.ts")).Threads.join(job));
  if (forced && !threads) {
    throw new UnsupportedError(
      job
        ? "threads share WebAssembly memory, and WebAssembly may not run here"
        : 'transport "shared-memory" is for threads of one job: start the ranks with "webccl run --threads"',
    );
  }
  return threads;
}

/** The GPU that the settings want, if any, and why. Its code is loaded only then. */
async function openGpu(
  platform: Platform,
  { backend, device, internal: { f16 = "auto", onReadback } }: Settings,
): Promise<{ gpu: GpuExecutor | null; reason: string }> {
  const open = async (options: WebgpuExecutorOptions) =>
    (await import("../executor/webgpu/create-executor.ts")).createWebgpuExecutor({ ...options, f16, onReadback });
  if (device) return { gpu: await open({ device }), reason: "the device given to initProcessGroup" };
  if (backend === "cpu" || backend === "nccl") return { gpu: null, reason: `backend is "${backend}"` };
  if (backend === "auto" && !platform.hasBuiltInGpu) {
    return { gpu: null, reason: 'none was asked for: pass backend: "webgpu" or a device' };
  }
  try {
    return { gpu: await open(await platform.openGpu()), reason: "an adapter of this runtime" };
  } catch (error) {
    if (backend === "webgpu" || !(error instanceof NoAdapterError)) throw error;
    return { gpu: null, reason: error.message };
  }
}
