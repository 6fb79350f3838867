/**
 * Compiled kernels of one device, each made when it is first used.
 */
import { type KernelShape, type KernelWork, kernelSource } from "./source.ts";

/** A compiled kernel and how its buffers are bound. */
export interface Kernel {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** Bytes of a kernel's parameters (fold.wgsl, Params). */
export const PARAMS_BYTES = 64;

/** GPUShaderStage.COMPUTE. */
const COMPUTE_STAGE = 0x4;

export class Pipelines {
  readonly #device: GPUDevice;
  readonly #kernels = new Map<string, Kernel>();
  readonly #layouts = new Map<string, GPUBindGroupLayout>();

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** The kernel, compiled now if need be; errors of the compiler go to the device's error scope. */
  get(work: KernelWork, shape: KernelShape, nativeF16: boolean): Kernel {
    const key = keyOf(work, shape, nativeF16);
    const known = this.#kernels.get(key);
    if (known) return known;
    const layout = this.#layout(shape.writable);
    const pipeline = this.#device.createComputePipeline(this.#descriptor(layout, work, shape, nativeF16));
    const kernel = { pipeline, layout };
    this.#kernels.set(key, kernel);
    return kernel;
  }

  /**
   * Compiles the kernel ahead of its use.
   * @throws TypeError with the compiler's messages if it does not compile.
   */
  async compile(work: KernelWork, shape: KernelShape, nativeF16: boolean): Promise<void> {
    const key = keyOf(work, shape, nativeF16);
    if (this.#kernels.has(key)) return;
    const layout = this.#layout(shape.writable);
    const device = this.#device;
    device.pushErrorScope("validation");
    const descriptor = this.#descriptor(layout, work, shape, nativeF16);
    const pipeline = device.createComputePipeline(descriptor);
    const [error, info] = await Promise.all([device.popErrorScope(), descriptor.compute.module.getCompilationInfo()]);
    const messages = info.messages.filter(({ type }) => type === "error").map(({ message }) => message);
    if (error || messages.length > 0) {
      const what = typeof work.op === "object" && work.op ? `custom op ${work.op.label} on ${work.dtype}` : key;
      throw new TypeError(`${what} does not compile: ${messages.join("; ") || error?.message}`);
    }
    this.#kernels.set(key, { pipeline, layout });
  }

  has(work: KernelWork, shape: KernelShape, nativeF16: boolean): boolean {
    return this.#kernels.has(keyOf(work, shape, nativeF16));
  }

  #descriptor(layout: GPUBindGroupLayout, work: KernelWork, shape: KernelShape, nativeF16: boolean) {
    const code = kernelSource(work, shape, nativeF16);
    const module = this.#device.createShaderModule({ code });
    return {
      layout: this.#device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: "main" },
    };
  }

  #layout(writable: readonly boolean[]): GPUBindGroupLayout {
    const key = writable.join();
    let layout = this.#layouts.get(key);
    if (!layout) {
      layout = this.#device.createBindGroupLayout({
        entries: [
          {
            binding: 0,
            visibility: COMPUTE_STAGE,
            buffer: { type: "uniform", hasDynamicOffset: true, minBindingSize: PARAMS_BYTES },
          },
          ...writable.map((written, b) => ({
            binding: b + 1,
            visibility: COMPUTE_STAGE,
            buffer: { type: written ? ("storage" as const) : ("read-only-storage" as const) },
          })),
        ],
      });
      this.#layouts.set(key, layout);
    }
    return layout;
  }
}

function keyOf(work: KernelWork, shape: KernelShape, nativeF16: boolean): string {
  const { dtype, op, unary } = work;
  const name = op !== null && typeof op === "object" ? `custom ${op.wgsl}` : op;
  const { wide, inputBuffers, scaled, inPlace, writable } = shape;
  const lists = [inputBuffers.join("."), scaled.join("."), writable.join(".")];
  return [dtype, name, unary, wide, nativeF16, inPlace, ...lists].join("|");
}
