/**
 * A run of elements in a GPUBuffer. A slice of 8- or 16-bit elements may begin at any byte.
 */
import { bytesPerElement, type DataType } from "../../../types.ts";
import type { Span } from "../../executor.ts";
import type { GpuDevice } from "../device.ts";

/** A factor's bits: an f32's, or an integer's. Native kernels take the second word of a float's for NaN. */
export type FactorBits = readonly [low: number, high: number];

/** See the file's head. */
export class GpuSpan implements Span {
  readonly device: GpuDevice;
  readonly dtype: DataType;
  readonly count: number;
  readonly byteLength: number;
  readonly buffer: GPUBuffer;
  readonly byteOffset: number;
  /** The bits of the factor that multiplies every element as it is read, or null. A view with a factor is never written. */
  readonly factor: FactorBits | null;
  /** Is it scratch on loan, whose buffer goes back to the pool? */
  lent = false;

  constructor(
    device: GpuDevice,
    dtype: DataType,
    count: number,
    buffer: GPUBuffer,
    byteOffset: number,
    factor: FactorBits | null = null,
  ) {
    this.device = device;
    this.dtype = dtype;
    this.count = count;
    this.byteLength = count * bytesPerElement(dtype);
    this.buffer = buffer;
    this.byteOffset = byteOffset;
    this.factor = factor;
  }

  /** Elements `start` to `start + count`. */
  slice(start: number, count: number): GpuSpan {
    if (start < 0 || count < 0 || start + count > this.count) {
      throw new RangeError(`slice ${start} to ${start + count} of a span of ${this.count} elements`);
    }
    const byteOffset = this.byteOffset + start * bytesPerElement(this.dtype);
    return new GpuSpan(this.device, this.dtype, count, this.buffer, byteOffset, this.factor);
  }

  /** The same elements, each multiplied with `factor` as it is read. */
  times(factor: FactorBits): GpuSpan {
    return new GpuSpan(this.device, this.dtype, this.count, this.buffer, this.byteOffset, factor);
  }

  /** The first byte of the word in which the span begins, and the end of the word in which it ends. */
  get words(): { start: number; end: number } {
    const start = this.byteOffset - (this.byteOffset % 4);
    return { start, end: Math.ceil((this.byteOffset + this.byteLength) / 4) * 4 };
  }

  /** Does the span share no word with others? */
  get ownsItsWords(): boolean {
    return this.byteOffset % 4 === 0 && this.byteLength % 4 === 0;
  }

  /** Does it lie where `other` does? */
  isSameAs(other: GpuSpan): boolean {
    return this.buffer === other.buffer && this.byteOffset === other.byteOffset && this.byteLength === other.byteLength;
  }
}

/** @throws RangeError if they are not of one dtype and count. */
export function requireEqual(a: GpuSpan, b: GpuSpan): void {
  if (a.dtype !== b.dtype || a.count !== b.count) {
    throw new RangeError(`spans differ: ${a.count} of ${a.dtype} and ${b.count} of ${b.dtype}`);
  }
}
