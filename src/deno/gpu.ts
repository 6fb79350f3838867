/** WebGPU in Deno, which has its own. */
import { builtInGpu } from "../browser/gpu.ts";

/** What to do where no adapter is found. */
export const DENO_GPU_HINT = "install a Vulkan driver; without a GPU, Mesa's llvmpipe (Debian: mesa-vulkan-drivers)";

/**
 * Deno's GPU.
 * @throws NoAdapterError if this version of Deno has none.
 */
export async function openGpu(): Promise<{ gpu: GPU; hint: string }> {
  return builtInGpu(DENO_GPU_HINT);
}
