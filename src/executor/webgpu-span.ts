/**
 * A run of elements in a GPUBuffer. A slice of 8- or 16-bit elements may begin at any byte.
 */
import { bytesPerElement, type DataType } from "../types.ts";
import type { Span } from "./executor.ts";
import type { GpuDevice } from "./webgpu-device.ts";

/** See the file's head. */
export class GpuSpan implements Span {
  readonly device: GpuDevice;
  readonly dtype: DataType;
  readonly count: number;
  readonly byteLength: number;
  readonly buffer: GPUBuffer;
  readonly byteOffset: number;
  /** Is it scratch on loan, whose buffer goes back to the pool? */
  lent = false;

  constructor(device: GpuDevice, dtype: DataType, count: number, buffer: GPUBuffer, byteOffset: number) {
    this.device = device;
    this.dtype = dtype;
    this.count = count;
    this.byteLength = count * bytesPerElement(dtype);
    this.buffer = buffer;
    this.byteOffset = byteOffset;
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

  isSameAs(other: GpuSpan): boolean {
    return this.buffer === other.buffer && this.byteOffset === other.byteOffset && this.byteLength === other.byteLength;
  }
}
