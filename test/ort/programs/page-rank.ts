/** A rank in a page: does what the job in the location's fragment says, and leaves the outcome in `globalThis.outcome`. */
import type * as Ort from "onnxruntime-web/webgpu";
import { initProcessGroup } from "../../../src/browser/index.ts";
import { CHECKS, type PageJob } from "../page-checks.ts";

const job: PageJob = JSON.parse(decodeURIComponent(location.hash.slice(1)));

async function run(): Promise<unknown> {
  const addressOf = (name: string) => new URL(name, location.href).href;
  const ort: typeof Ort = await import(/* @vite-ignore */ addressOf("ort.webgpu.min.mjs"));
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = {
    mjs: addressOf("ort-wasm-simd-threaded.asyncify.mjs"),
    wasm: addressOf("ort-wasm-simd-threaded.asyncify.wasm"),
  };
  return CHECKS[job.check](ort, (device) => initProcessGroup({ ...job.options, ...(device ? { device } : {}) }));
}

const outcome = await run().catch((error: Error) => ({ error: String(error), stack: error.stack }));
Object.assign(globalThis, { outcome });
