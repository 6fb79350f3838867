/** Measures the GPU of a runtime that has WebGPU built in. Prints lines, and at the end the report as JSON after `KERNELS `. */
import { createWebgpuExecutor } from "../../executor/webgpu/create-executor.ts";
import { type GpuRatesOptions, gpuRates } from "./gpu.ts";

/** The order to measure: a page gets it as a global, a process as its first argument. */
interface Told {
  runtime: string;
  options: GpuRatesOptions;
}

const { webcclKernels, process } = globalThis as { webcclKernels?: string; process?: { argv: string[] } };
const told = webcclKernels ?? process?.argv[2];
if (told === undefined) throw new Error("the program was not told what to measure");
const { runtime, options } = JSON.parse(told) as Told;
const gpu = await createWebgpuExecutor();
const rates = await gpuRates(gpu, runtime, options, (line) => console.log(line));
await gpu.dispose();
console.log(`KERNELS ${JSON.stringify(rates)}`);
