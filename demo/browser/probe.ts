/** Tries each part of a browser that webccl uses, by the code that uses it where there is such code. */
import { openPortExchange } from "../../src/browser/port-exchange.ts";
import { whyNoThreads } from "../../src/browser/why-no-threads.ts";
import type { Fact, FactName } from "../../src/cli/info/browser-facts.ts";
import { createCpuExecutor } from "../../src/executor/cpu/cpu-executor.ts";
import { createWebgpuExecutor } from "../../src/executor/webgpu/create-executor.ts";
import { textOf } from "../../src/support/thrown.ts";

/** A worker that says nothing for so long shares nothing. */
const WORKER_MS = 10_000;

const yes: Fact = { has: true, note: null };
const no = (note: string): Fact => ({ has: false, note });
const present = (has: boolean, name: string): Fact => (has ? yes : no(`this browser has no ${name}`));

/** All facts of this page. */
export async function probe(): Promise<Record<FactName, Fact>> {
  const sharedMemory = await triedSharedMemory();
  const gpu = await triedGpu();
  const why = whyNoThreads();
  const threads = why === null ? sharedMemory : no(why);
  return {
    isolated: crossOriginIsolated ? yes : no("the page is not isolated, in spite of its headers"),
    ...{ sharedMemory, threads, simd: await triedSimd(), ...gpu, messagePorts: await triedPorts() },
    dataChannels: present(typeof RTCPeerConnection === "function", "RTCPeerConnection"),
    float16: present("Float16Array" in globalThis, "Float16Array; tensors are { data: Uint16Array, dtype }"),
    webCrypto: present(typeof crypto.subtle === "object", "crypto.subtle"),
  };
}

async function triedSharedMemory(): Promise<Fact> {
  if (typeof SharedArrayBuffer === "undefined") return no("this browser has no SharedArrayBuffer");
  const memory = new SharedArrayBuffer(4);
  const worker = new Worker(new URL("./writer.ts", import.meta.url), { type: "module" });
  try {
    const written = await new Promise<boolean>((resolve) => {
      worker.onmessage = () => resolve(true);
      worker.onerror = () => resolve(false);
      setTimeout(resolve, WORKER_MS, false);
      worker.postMessage(memory);
    });
    if (!written) return no("a worker that got the memory did not answer");
    return Atomics.load(new Int32Array(memory), 0) === 1 ? yes : no("a worker that gets it gets a copy");
  } catch (error) {
    return no(textOf(error));
  } finally {
    worker.terminate();
  }
}

async function triedSimd(): Promise<Fact> {
  const executor = await createCpuExecutor();
  const { description } = executor;
  await executor.dispose();
  return description.includes("wasm") ? yes : no(description);
}

async function triedGpu(): Promise<Pick<Record<FactName, Fact>, "webgpu" | "shaderF16" | "timestamps">> {
  try {
    const executor = await createWebgpuExecutor();
    const { features } = executor.device;
    const adapter = (await navigator.gpu.requestAdapter())?.features ?? features;
    await executor.dispose();
    const feature = (name: GPUFeatureName) => (adapter.has(name) ? yes : no(`the adapter has no ${name}`));
    return { webgpu: yes, shaderF16: feature("shader-f16"), timestamps: feature("timestamp-query") };
  } catch (error) {
    const webgpu = no(textOf(error));
    const without = no("there is no WebGPU");
    return { webgpu, shaderF16: without, timestamps: without };
  }
}

async function triedPorts(): Promise<Fact> {
  try {
    (await openPortExchange()).close();
    return yes;
  } catch (error) {
    return no(textOf(error));
  }
}
