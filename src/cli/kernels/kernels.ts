/** `webccl bench kernels`: how fast each device at hand reduces, beside how fast it copies. */
import { writeFile } from "node:fs/promises";
import { NoAdapterError } from "../../errors.ts";
import { createWebgpuExecutor } from "../../executor/webgpu/create-executor.ts";
import { nodePlatform } from "../../node/platform.ts";
import { kernelLine, statusLine } from "../bench/report.ts";
import { circumstances, commandLine } from "../page/circumstances.ts";
import { type BenchKernelsOptions, benchKernels, type KernelRow } from "./bench-kernels.ts";
import { browserRates, denoRates } from "./elsewhere.ts";
import { type GpuRatesOptions, gpuRates } from "./gpu.ts";
import { type DeviceRates, kernelsPage } from "./page.ts";

/** The operations to measure, and the devices. */
export interface KernelsOptions extends Omit<BenchKernelsOptions, "onRow"> {
  /** Default: both, the GPU if there is one. */
  device?: "cpu" | "webgpu";
  /** Also the GPU as Deno and as Chromium have it. */
  deno?: boolean;
  browser?: boolean;
}

/** WebGPU has no list of adapters; these are the ways to ask for one. */
const ADAPTERS: readonly GPURequestAdapterOptions[] = [
  { powerPreference: "high-performance" },
  { powerPreference: "low-power" },
  { forceFallbackAdapter: true },
];

/** Measures and prints; with `json`, one object, with `html`, a page in that file too. Returns the exit code. */
export async function kernels(
  { device, deno = false, browser = false, ...options }: KernelsOptions,
  { json, html }: { json: boolean; html?: string },
): Promise<number> {
  const print = (text: string) => process.stdout.write(`${text}\n`);
  const status = statusLine();
  const say = (text: string) => {
    if (json) status(text);
    else print(text);
  };
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
      devices.push(...(await nodeRates(options, say)));
    } catch (error) {
      const isOnly = device === "webgpu" && !deno && !browser;
      if (isOnly || !(error instanceof NoAdapterError)) throw error;
      say(`# webgpu: ${error.message}`);
    }
  }
  if (deno) devices.push(await denoRates(options, say));
  if (browser) devices.push(await browserRates(options, say));
  status("");
  if (json) print(JSON.stringify({ collective: "kernels", results, devices }));
  if (html !== undefined)
    await writeFile(html, kernelsPage(devices, circumstances(commandLine(["webccl", ...process.argv.slice(2)]))));
  return 0;
}

function ratesOf(device: string, rows: readonly KernelRow[], rate: (row: KernelRow) => number): DeviceRates {
  return {
    device,
    yardstick: "a copy (memcpy)",
    rows: rows.map((row) => {
      const { dtype, op, memcpyGBs: copyGBs } = row;
      return { dtype, op, GBs: rate(row), copyGBs, share: rate(row) / copyGBs };
    }),
  };
}

/** Node's own, one after the other. */
async function nodeRates(options: GpuRatesOptions, say: (line: string) => void): Promise<DeviceRates[]> {
  const opened = await nodePlatform.openGpu();
  const found: DeviceRates[] = [];
  const seen = new Set<string>();
  for (const request of ADAPTERS) {
    const gpu = await createWebgpuExecutor({ ...opened, request }).catch((error: unknown) => {
      if (error instanceof NoAdapterError && found.length > 0) return null;
      throw error;
    });
    if (gpu && !seen.has(gpu.description)) found.push(await gpuRates(gpu, "node", options, say));
    if (gpu) seen.add(gpu.description);
    await gpu?.dispose();
  }
  return found;
}
