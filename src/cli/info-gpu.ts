/** What WebGPU finds in each runtime at hand; asked in processes of their own, since drivers print and may crash. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";
import { pathToFileURL } from "node:url";
import { DENO_GPU_HINT } from "../deno/platform.ts";
import { NODE_GPU_HINT } from "../node/gpu.ts";

/** One runtime's WebGPU. */
export interface GpuInfo {
  runtime: string;
  adapter: string | null;
  features: string[];
  limits: Record<string, number>;
  /** What to do where there is no adapter. */
  fix: string | null;
}

const PROBE_MS = 15_000;
const LIMITS = ["maxBufferSize", "maxStorageBufferBindingSize", "maxComputeInvocationsPerWorkgroup"];

/** The rest of a probe, after `gpu` is there. */
const ASK = `
const adapter = await gpu?.requestAdapter({ powerPreference: "high-performance" });
const info = adapter?.info;
const limits = Object.fromEntries(${JSON.stringify(LIMITS)}.map((name) => [name, adapter?.limits[name]]));
console.log(JSON.stringify(adapter ? {
  adapter: [info.description || info.device || info.architecture, info.vendor].filter((word) => word).join(", "),
  features: [...adapter.features].sort(),
  limits,
} : null));
(globalThis.process ?? { exit() {} }).exit(0);`;

/** Node always, Deno and Chromium where they are found. A browser is asked nothing: a page tells, `webccl demo`. */
export async function gpuInfos(): Promise<GpuInfo[]> {
  const deno = onPath("deno");
  const infos = [nodeGpu()];
  if (deno) infos.push(ask("deno", deno, ["eval", `const gpu = navigator.gpu;${ASK}`], DENO_GPU_HINT));
  return Promise.all(infos);
}

function nodeGpu(): Promise<GpuInfo> {
  let url: string;
  try {
    url = pathToFileURL(createRequire(import.meta.url).resolve("webgpu")).href;
  } catch {
    return Promise.resolve(none("node", "npm install webgpu"));
  }
  const source = `const { create } = await import(${JSON.stringify(url)}); const gpu = create([]);${ASK}`;
  return ask("node", process.execPath, ["--input-type=module", "-e", source], NODE_GPU_HINT);
}

function none(runtime: string, fix: string): GpuInfo {
  return { runtime, adapter: null, features: [], limits: {}, fix };
}

/** Runs a probe; one that fails, crashes or hangs has found nothing. */
async function ask(runtime: string, command: string, args: readonly string[], fix: string): Promise<GpuInfo> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "ignore"], timeout: PROBE_MS });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  await once(child, "close").catch(() => {});
  const line = output.trim().split("\n").at(-1) ?? "";
  const found = line.startsWith("{") ? (JSON.parse(line) as Omit<GpuInfo, "runtime" | "fix">) : null;
  return found ? { runtime, ...found, fix: null } : none(runtime, fix);
}

/** The first program of this name in PATH, or null. */
function onPath(name: string): string | null {
  const folders = (process.env.PATH ?? "").split(delimiter);
  return folders.map((folder) => join(folder, name)).find((file) => existsSync(file)) ?? null;
}
