/** `webccl bench kernels`: how fast each device at hand reduces, beside how fast it copies. */
import { writeFile } from "node:fs/promises";
import { NoAdapterError } from "../errors.ts";
import { createWebgpuExecutor } from "../executor/webgpu.ts";
import { nodePlatform } from "../node/platform.ts";
import { benchGpuKernels } from "./bench-gpu-kernels.ts";
import { type BenchKernelsOptions, benchKernels, type KernelRow } from "./bench-kernels.ts";
import { kernelLine } from "./bench-report.ts";
import { type DeviceRates, kernelsPage } from "./kernels-page.ts";

/** What to measure, and where. */
export interface KernelsOptions extends Omit<BenchKernelsOptions, "onRow"> {
  /** Default: both, the GPU if there is one. */
  device?: "cpu" | "webgpu";
}

/** Of one operand: a software adapter is done with all dtypes and operations in a minute or two. */
const GPU_BYTES = 2 ** 22;

/** Measures and prints; with `json`, one object, with `html`, a page in that file too. Returns the exit code. */
export async function kernels(
  { device, ...options }: KernelsOptions,
  { json, html }: { json: boolean; html?: string },
): Promise<number> {
  const print = (text: string) => process.stdout.write(`${text}\n`);
  const say = (text: string) => (json ? undefined : print(text));
  const results: KernelRow[] = [];
  const devices: DeviceRates[] = [];
  if (device !== "webgpu") {
    say(kernelLine(null));
    results.push(...(await benchKernels({ ...options, onRow: (row) => say(kernelLine(row)) })));
    devices.push(
      ratesOf("plain loops", results, ({ plainGBs }) => plainGBs),
      ratesOf("WebAssembly SIMD", results, ({ wasmGBs }) => wasmGBs),
    );
  }
  if (device !== "cpu") {
    try {
      devices.push(await gpuRates(options, say));
    } catch (error) {
      if (device === "webgpu" || !(error instanceof NoAdapterError)) throw error;
      say(`# webgpu: ${error.message}`);
    }
  }
  if (json) print(JSON.stringify({ collective: "kernels", results, devices }));
  if (html !== undefined) await writeFile(html, kernelsPage(devices));
  return 0;
}

function ratesOf(device: string, rows: readonly KernelRow[], rate: (row: KernelRow) => number): DeviceRates {
  return {
    device,
    yardstick: "memcpy",
    rows: rows.map((row) => {
      const { dtype, op, memcpyGBs: copyGBs } = row;
      return { dtype, op, GBs: rate(row), copyGBs, share: rate(row) / copyGBs };
    }),
  };
}

async function gpuRates(options: BenchKernelsOptions, say: (text: string) => void): Promise<DeviceRates> {
  const gpu = await createWebgpuExecutor(await nodePlatform.openGpu());
  const cells = (...texts: string[]) => texts.map((text) => text.padStart(12)).join("");
  say(`# webgpu: ${gpu.description}`);
  say(cells("# type", "redop", "GB/s", "copy", "share"));
  try {
    const rows = await benchGpuKernels(gpu, {
      bytes: GPU_BYTES,
      ...options,
      onRow: ({ dtype, op, gpuGBs, copyGBs, share }) =>
        say(cells(dtype, op, gpuGBs.toFixed(2), copyGBs.toFixed(2), share.toFixed(2))),
    });
    return {
      device: gpu.description,
      yardstick: "copyBufferToBuffer",
      rows: rows.map(({ dtype, op, gpuGBs, copyGBs, share }) => ({ dtype, op, GBs: gpuGBs, copyGBs, share })),
    };
  } finally {
    await gpu.dispose();
  }
}
