/**
 * The parameters of kernels: slots of one uniform buffer, filled on the host and uploaded together before their submit.
 */
import { GPUBufferUsage } from "../usage.ts";
import { PARAMS_BYTES } from "./pipelines.ts";

/** Slots of one submit. */
const SLOTS = 256;

/** A kernel's parameters, in the order of Params in fold.wgsl. */
export interface Parameters {
  units: number;
  firstMask: number;
  lastMask: number;
  factor: readonly [low: number, high: number];
  divisor: number;
  output: number;
  inputs: readonly number[];
}

/** A device, and the source of buffers that hold no tensors. */
export interface BufferSource {
  readonly device: GPUDevice;
  createBuffer(bytes: number, usage: number): GPUBuffer;
  destroyBuffer(buffer: GPUBuffer): void;
}

/** See the file's head. */
export class ParameterRing {
  readonly #device: BufferSource;
  readonly #slotBytes: number;
  readonly #words: Uint32Array<ArrayBuffer>;
  #buffer: GPUBuffer | null = null;
  #used = 0;

  constructor(device: BufferSource) {
    this.#device = device;
    this.#slotBytes = Math.max(PARAMS_BYTES, device.device.limits.minUniformBufferOffsetAlignment);
    this.#words = new Uint32Array((SLOTS * this.#slotBytes) / 4);
  }

  /** Must be submitted before there is room for another kernel's. */
  get isFull(): boolean {
    return this.#used === SLOTS;
  }

  get buffer(): GPUBuffer {
    this.#buffer ??= this.#device.createBuffer(
      SLOTS * this.#slotBytes,
      GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    );
    return this.#buffer;
  }

  /** Writes a kernel's parameters and returns where they will stand in the buffer, in bytes. */
  add({ units, firstMask, lastMask, factor, divisor, output, inputs }: Parameters): number {
    const byteOffset = this.#used++ * this.#slotBytes;
    const words = this.#words;
    const at = byteOffset / 4;
    words.fill(0, at, at + PARAMS_BYTES / 4);
    words[at] = units;
    words[at + 2] = firstMask;
    words[at + 3] = lastMask;
    words[at + 4] = factor[0];
    words[at + 5] = factor[1];
    words[at + 6] = divisor;
    words[at + 7] = output;
    words.set(inputs, at + 8);
    return byteOffset;
  }

  /** To be called before the submit of the kernels that use them. */
  upload(): void {
    if (this.#used === 0) return;
    this.#device.device.queue.writeBuffer(this.buffer, 0, this.#words, 0, (this.#used * this.#slotBytes) / 4);
    this.#used = 0;
  }

  destroy(): void {
    if (this.#buffer) this.#device.destroyBuffer(this.#buffer);
    this.#buffer = null;
  }
}
