/** This tab's device: its browser, its GPU, and how fast its kernels are. */

import { browserName } from "../src/cli/info/browser-name.ts";
import { createCpuExecutor } from "../src/executor/cpu/cpu-executor.ts";
import { ReduceOp } from "../src/reduce-op.ts";

/** The description of a tab, for the others. */
export interface Device {
  browser: string;
  gpu: string;
  hasGpu: boolean;
  /** Of a call to the hub, in milliseconds. */
  roundTripMs: number;
  /** Of an f32 sum on the cpu, operands read and written, in 10^9 bytes per second. */
  kernelGBs: number;
}

const KERNEL_BYTES = 1_048_576;
const MEASURE_MS = 40;

/** Measures this tab; `call` is one call to the hub. */
export async function describeDevice(call: () => Promise<unknown>): Promise<Device> {
  const times: number[] = [];
  for (let i = 0; i < 7; i++) {
    const start = performance.now();
    await call();
    times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  const gpu = await gpuName();
  return {
    browser: browserName(navigator.userAgent),
    gpu: gpu ?? "none",
    hasGpu: gpu !== null,
    roundTripMs: times[3]!,
    kernelGBs: await kernelSpeed(),
  };
}

async function kernelSpeed(): Promise<number> {
  const executor = await createCpuExecutor();
  await executor.loadRareLoops();
  const count = KERNEL_BYTES / 3 / 4;
  const [sum, left, right] = [0, 1, 2].map(() => executor.scratch("f32", Math.floor(count)));
  for (const span of [sum!, left!, right!]) executor.fill(span, 1);
  let bytes = 0;
  const start = performance.now();
  let elapsed = 0;
  do {
    for (let i = 0; i < 8; i++) executor.reduce(ReduceOp.SUM, sum!, left!, right!);
    bytes += 8 * KERNEL_BYTES;
    elapsed = performance.now() - start;
  } while (elapsed < MEASURE_MS);
  for (const span of [sum!, left!, right!]) executor.release(span);
  await executor.dispose();
  return bytes / elapsed / 1e6;
}

async function gpuName(): Promise<string | null> {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  if (!adapter) return null;
  const { vendor, architecture, description } = adapter.info;
  return description || [vendor, architecture].filter(Boolean).join(" ") || "WebGPU";
}
