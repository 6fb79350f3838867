/**
 * WebGPU in Node: the `webgpu` package (Dawn), an optional peer dependency.
 */
import { NoAdapterError } from "../errors.ts";

/** What to do where no adapter is found. */
export const NODE_GPU_HINT =
  "install a Vulkan driver; without a GPU, SwiftShader as Debian's chromium package has it, with VK_ICD_FILENAMES=/usr/lib/chromium/vk_swiftshader_icd.json and XDG_RUNTIME_DIR set";

/**
 * Loads the `webgpu` package. Two threads of one process that both do crash it: ranks on the GPU are processes. The GPU must
 * stay reachable while any device or buffer lives: without it, garbage collection ends the process.
 * @throws NoAdapterError if the package is not installed.
 */
export async function openGpu(): Promise<{ gpu: GPU; hint: string }> {
  let create: (options: string[]) => GPU;
  try {
    ({ create } = (await import("webgpu")) as unknown as { create: typeof create });
  } catch (cause) {
    throw new NoAdapterError("Node has no WebGPU of its own: `npm install webgpu`", { cause });
  }
  // Dawn rounds timestamps to 65 µs unless told otherwise, so that web pages cannot spy on each other by them.
  return { gpu: create(["disable-dawn-features=timestamp_quantization"]), hint: NODE_GPU_HINT };
}
