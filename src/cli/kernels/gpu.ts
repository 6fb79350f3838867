/** The rates of one GPU, in any runtime: its lines as they come, and its part of the report. */
import type { GpuExecutor } from "../../executor/webgpu/create-executor.ts";
import { type BenchGpuKernelsOptions, benchGpuFold, benchGpuKernels } from "./bench-gpu-kernels.ts";
import type { DeviceRates } from "./page.ts";

/** Of one operand: a software adapter is done with all dtypes and operations in half a minute. */
const GPU_BYTES = 2 ** 22;

/** The options that go to another runtime, as JSON. */
export type GpuRatesOptions = Omit<BenchGpuKernelsOptions, "onRows">;

/** Measures an executor's device; `say` gets each line of the table as soon as it is known. */
export async function gpuRates(
  gpu: GpuExecutor,
  runtime: string,
  options: GpuRatesOptions,
  say: (line: string) => void,
): Promise<DeviceRates> {
  const cells = (...texts: string[]) => texts.map((text) => text.padStart(12)).join("");
  const device = `${runtime}: ${gpu.description}`;
  say(`# ${device}`);
  say(cells("# type", "redop", "GB/s", "copy", "share"));
  const { bytes = GPU_BYTES } = options;
  const rows = await benchGpuKernels(gpu, {
    ...options,
    bytes,
    onRows: (measured) => {
      for (const { dtype, op, gpuGBs, copyGBs, share } of measured) {
        say(cells(dtype, op, gpuGBs.toFixed(2), copyGBs.toFixed(2), share.toFixed(2)));
      }
    },
  });
  const fold = await benchGpuFold(gpu, Math.ceil(bytes / 16) * 16);
  say(`# f32 sum: ${fold.ratio.toFixed(2)} of the rate of a kernel that only adds two vec4`);
  say(`# f32 sum of four in one pass: ${fold.fourShare.toFixed(2)} of the time of three passes`);
  return {
    device,
    yardstick: "a copy (the faster of copyBufferToBuffer and a kernel)",
    rows: rows.map(({ dtype, op, gpuGBs, copyGBs, share }) => ({ dtype, op, GBs: gpuGBs, copyGBs, share })),
    fold,
  };
}
