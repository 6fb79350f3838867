/**
 * The GPU that tests run on: SwiftShader, a Vulkan driver in software that comes with Debian's chromium package, so that
 * results and their subnormals are the same on every machine. WEBCCL_TEST_GPU=system takes the machine's own driver.
 */
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import {
  createWebgpuExecutor,
  type GpuExecutor,
  type WebgpuExecutorOptions,
} from "../../src/executor/webgpu/create-executor.ts";
import { openGpu } from "../../src/node/gpu.ts";

const SWIFTSHADER = "/usr/lib/chromium/vk_swiftshader_icd.json";

/** What a process needs in its environment, for this one and for children. */
export function gpuEnvironment(): Record<string, string> {
  if (process.env.WEBCCL_TEST_GPU === "system") return {};
  if (!existsSync(SWIFTSHADER)) {
    throw new Error(
      `${SWIFTSHADER} is missing: \`npx tsx scripts/system-packages.ts\` installs the packages that tests need`,
    );
  }
  return { VK_ICD_FILENAMES: SWIFTSHADER, XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR ?? tmpdir() };
}

let opened: ReturnType<typeof openGpu> | undefined;

/** WebGPU, opened once in this process and kept until it ends: one that is collected takes its devices with it. */
export async function testGpu(): Promise<GPU> {
  Object.assign(process.env, gpuEnvironment());
  opened ??= openGpu();
  return (await opened).gpu;
}

/** A webgpu executor with a device of its own, or on `options.device`. */
export async function testExecutor(options: WebgpuExecutorOptions = {}): Promise<GpuExecutor> {
  return createWebgpuExecutor({ gpu: await testGpu(), ...options });
}

/** A device with WebGPU's default limits, which no adapter's own raise. */
export async function defaultDevice(): Promise<GPUDevice> {
  const adapter = await (await testGpu()).requestAdapter();
  if (!adapter) throw new Error("no adapter");
  return adapter.requestDevice();
}
