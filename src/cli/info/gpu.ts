/** The adapters that WebGPU finds in each runtime at hand; processes of their own ask, since drivers print and may crash. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { BROWSER_GPU_HINT } from "../../browser/gpu.ts";
import { DENO_GPU_HINT } from "../../deno/gpu.ts";
import { NODE_GPU_HINT } from "../../node/gpu.ts";
import { denoExecutable } from "../launch/other-runtimes.ts";
import { siblingModule } from "../sibling-module.ts";
import { UsageError } from "../usage.ts";
import { GPU_PROBE, type GpuAdapter } from "./gpu-probe.ts";

/** An adapter of one runtime, or that it has none. */
export interface GpuInfo extends Omit<GpuAdapter, "adapter"> {
  runtime: string;
  adapter: string | null;
  /** What to do where there is no adapter. */
  fix: string | null;
}

const PROBE_MS = 20_000;

/** Of Node, Deno and Chromium. Each is asked at the same time; one that is not there costs nothing. */
export async function gpuInfos(): Promise<GpuInfo[]> {
  return (await Promise.all([nodeGpu(), denoGpu(), chromiumGpu()])).flat();
}

async function nodeGpu(): Promise<GpuInfo[]> {
  let url: string;
  try {
    url = pathToFileURL(createRequire(import.meta.url).resolve("webgpu")).href;
  } catch {
    return none("node", "npm install webgpu");
  }
  const source = `const { create } = await import(${JSON.stringify(url)}); ${printing("create([])")} process.exit(0);`;
  return ask("node", process.execPath, ["--input-type=module", "-e", source], NODE_GPU_HINT);
}

async function denoGpu(): Promise<GpuInfo[]> {
  try {
    return await ask("deno", denoExecutable(), ["eval", printing("navigator.gpu")], DENO_GPU_HINT);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return none("deno", error.message);
  }
}

function chromiumGpu(): Promise<GpuInfo[]> {
  const program = fileURLToPath(siblingModule(import.meta.url, "./chromium"));
  return ask("chromium", process.execPath, [...process.execArgv, program], BROWSER_GPU_HINT);
}

function printing(gpu: string): string {
  return `console.log(JSON.stringify(await ${GPU_PROBE}(${gpu})));`;
}

function none(runtime: string, fix: string): GpuInfo[] {
  return [{ runtime, adapter: null, features: [], limits: {}, fix }];
}

/** Runs a probe, which prints adapters or why it found none. */
async function ask(runtime: string, command: string, args: readonly string[], hint: string): Promise<GpuInfo[]> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "ignore"], timeout: PROBE_MS });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  await once(child, "close").catch(() => {});
  const line = output.trim().split("\n").at(-1) ?? "";
  const found = /^[[{]/.test(line) ? (JSON.parse(line) as GpuAdapter[] | { fix: string }) : [];
  if (!Array.isArray(found)) return none(runtime, found.fix);
  if (found.length > 0) return found.map((adapter) => ({ runtime, ...adapter, fix: null }));
  const why = child.signalCode === "SIGTERM" ? `it did not answer within ${PROBE_MS / 1000} s; ` : "";
  const crash = child.signalCode && why === "" ? `it crashed (${child.signalCode}); ` : "";
  return none(runtime, `${why}${crash}${hint}`);
}
