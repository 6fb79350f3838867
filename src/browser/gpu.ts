/** WebGPU where it is built in: browsers and Deno. */
import { NoAdapterError } from "../errors.ts";

/** What to do in a browser where no adapter is found. */
export const BROWSER_GPU_HINT =
  "WebGPU needs a secure context (https, or localhost) and a browser that has it; on Linux Chromium wants --enable-unsafe-webgpu";

/** This page's GPU. */
export async function openGpu(): Promise<{ gpu: GPU; hint: string }> {
  return builtInGpu(BROWSER_GPU_HINT);
}

/**
 * The runtime's own GPU object.
 * @throws NoAdapterError if it has none; `hint` then says what to do.
 */
export function builtInGpu(hint: string): { gpu: GPU; hint: string } {
  const gpu = (globalThis.navigator as { gpu?: GPU } | undefined)?.gpu;
  if (!gpu) throw new NoAdapterError(`this runtime has no navigator.gpu: ${hint}`);
  return { gpu, hint };
}
