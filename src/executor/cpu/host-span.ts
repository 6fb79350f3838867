/**
 * A run of elements in host memory, and at the same time the loan of its bytes: reading and receiving cost nothing.
 */
import type { DataType, HostTensorOf } from "../../types.ts";
import type { Lease, Span } from "../executor.ts";

/** Marks a span that does not lie in WebAssembly memory. */
export const OUTSIDE = -1;

/** Typed arrays that a kernel's loop runs over. Floats of 8 and 16 bits are their bits. */
export interface LaneArrays extends Omit<HostTensorOf, "f8e4m3" | "f8e5m2" | "f16" | "bf16"> {
  f8e4m3: Uint8Array;
  f8e5m2: Uint8Array;
  f16: Uint16Array;
  bf16: Uint16Array;
}

type View<T> = new (buffer: ArrayBufferLike, byteOffset: number, length: number) => T;

export const LANE_ARRAY: { readonly [L in DataType]: View<LaneArrays[L]> & { readonly BYTES_PER_ELEMENT: number } } = {
  i8: Int8Array,
  u8: Uint8Array,
  i16: Int16Array,
  u16: Uint16Array,
  i32: Int32Array,
  u32: Uint32Array,
  i64: BigInt64Array,
  u64: BigUint64Array,
  f16: Uint16Array,
  bf16: Uint16Array,
  f32: Float32Array,
  f64: Float64Array,
  f8e4m3: Uint8Array,
  f8e5m2: Uint8Array,
};

/** See the file's head. `pointer` is the address in the executor's WebAssembly memory, or OUTSIDE. */
export class HostSpan implements Span, Lease {
  readonly dtype: DataType;
  readonly count: number;
  readonly byteLength: number;
  readonly buffer: ArrayBufferLike;
  readonly byteOffset: number;
  readonly pointer: number;
  /** Does the span own a block of WebAssembly memory, which `release` gives back? */
  ownsBlock = false;
  /** The slice that was made of it last: calls that are repeated take the same one. */
  lastSlice: HostSpan | null = null;

  #bytes: Uint8Array | null = null;

  constructor(dtype: DataType, count: number, buffer: ArrayBufferLike, byteOffset: number, pointer: number) {
    this.dtype = dtype;
    this.count = count;
    this.byteLength = count * LANE_ARRAY[dtype].BYTES_PER_ELEMENT;
    this.buffer = buffer;
    this.byteOffset = byteOffset;
    this.pointer = pointer;
  }

  /** A span over bytes that do not lie in WebAssembly memory. */
  static outside(dtype: DataType, { buffer, byteOffset, byteLength }: Uint8Array): HostSpan {
    return new HostSpan(dtype, byteLength / LANE_ARRAY[dtype].BYTES_PER_ELEMENT, buffer, byteOffset, OUTSIDE);
  }

  /** Made when it is first asked for: a view takes longer to make than a kernel takes for a short tensor. */
  get bytes(): Uint8Array {
    this.#bytes ??= new Uint8Array(this.buffer, this.byteOffset, this.byteLength);
    return this.#bytes;
  }

  /** The same bytes as lanes of another type. Made anew each time: only loops that take longer than that ask. */
  lanes<L extends DataType>(lane: L): LaneArrays[L] {
    const { buffer, byteOffset, byteLength } = this;
    return new LANE_ARRAY[lane](buffer, byteOffset, byteLength / LANE_ARRAY[lane].BYTES_PER_ELEMENT);
  }

  /** A loan of host memory needs no end. */
  release(): void {}
}
