/**
 * Element types and tensors: what a collective is given.
 *
 * A tensor is a flat run of elements; webccl knows no shapes. `count` is always in elements, `...Bytes` in bytes.
 */

/**
 * The element types of c10d and NCCL. `f16` is IEEE binary16, `bf16` the upper half of binary32; `f8e4m3` and `f8e5m2` are
 * the 8-bit floats of the Open Compute Project: E4M3 without infinities (PyTorch's float8_e4m3fn), and E5M2.
 */
export type DataType =
  | "i8"
  | "u8"
  | "i16"
  | "u16"
  | "i32"
  | "u32"
  | "i64"
  | "u64"
  | "f16"
  | "bf16"
  | "f32"
  | "f64"
  | "f8e4m3"
  | "f8e5m2";

/** Every element type, in the order of its code in a frame's fingerprint (docs/protocol.md). */
export const DATA_TYPES = [
  "i8",
  "u8",
  "i16",
  "u16",
  "i32",
  "u32",
  "i64",
  "u64",
  "f16",
  "bf16",
  "f32",
  "f64",
  "f8e4m3",
  "f8e5m2",
] as const satisfies readonly DataType[];

const BYTES_PER_ELEMENT: Readonly<Record<DataType, number>> = {
  i8: 1,
  u8: 1,
  i16: 2,
  u16: 2,
  i32: 4,
  u32: 4,
  i64: 8,
  u64: 8,
  f16: 2,
  bf16: 2,
  f32: 4,
  f64: 8,
  f8e4m3: 1,
  f8e5m2: 1,
};

/** Bytes of one element of `dtype`. */
export function bytesPerElement(dtype: DataType): number {
  return BYTES_PER_ELEMENT[dtype];
}

/** The 8-bit floats. */
export type Float8 = "f8e4m3" | "f8e5m2";

/** True for f8e4m3 and f8e5m2. */
export function isFloat8(dtype: DataType): dtype is Float8 {
  return dtype === "f8e4m3" || dtype === "f8e5m2";
}

/** True for f8e4m3, f8e5m2, f16, bf16, f32 and f64, the types that round and that have no bitwise operators. */
export function isFloat(dtype: DataType): boolean {
  return dtype === "f16" || dtype === "bf16" || dtype === "f32" || dtype === "f64" || isFloat8(dtype);
}

/** A `Float16Array`, which not every runtime has, and not every compiler knows. */
export interface Float16ArrayLike extends ArrayBufferView {
  readonly [Symbol.toStringTag]: "Float16Array";
  readonly BYTES_PER_ELEMENT: number;
  readonly length: number;
  [index: number]: number;
  [Symbol.iterator](): ArrayIterator<number>;
  at(index: number): number | undefined;
  copyWithin(target: number, start: number, end?: number): this;
  fill(value: number, start?: number, end?: number): this;
  join(separator?: string): string;
  set(values: ArrayLike<number>, offset?: number): void;
  slice(start?: number, end?: number): Float16ArrayLike;
  subarray(start?: number, end?: number): Float16ArrayLike;
}

/** A typed array, whose class tells its dtype. */
export type HostArray =
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | Float16ArrayLike
  | Float32Array
  | Float64Array;

/**
 * A typed array whose dtype is named: f16 and bf16 as their bits in a `Uint16Array`, f8e4m3 and f8e5m2 as theirs in a
 * `Uint8Array`, any other in its own class.
 */
export interface HostTensor {
  data: HostArray;
  dtype: DataType;
}

/** A tensor in host memory of each dtype, as `group.alloc` gives it: an array of the dtype's own class, else a tensor of its bits. */
export interface HostTensorOf {
  i8: Int8Array;
  u8: Uint8Array;
  i16: Int16Array;
  u16: Uint16Array;
  i32: Int32Array;
  u32: Uint32Array;
  i64: BigInt64Array;
  u64: BigUint64Array;
  f8e4m3: { data: Uint8Array; dtype: "f8e4m3" };
  f8e5m2: { data: Uint8Array; dtype: "f8e5m2" };
  /** A `Float16Array` where the runtime has that class. */
  f16: Float16ArrayLike | { data: Uint16Array; dtype: "f16" };
  bf16: { data: Uint16Array; dtype: "bf16" };
  f32: Float32Array;
  f64: Float64Array;
}

/** The class `N` of the program's own types, where they have it: those of WebGPU are not everywhere. */
type GlobalClass<N extends string, Otherwise> =
  typeof globalThis extends Record<N, { prototype: infer Instance }> ? Instance : Otherwise;

/** A GPUBuffer, or what of it webccl's types name where the program has no types of WebGPU. */
export type GpuBufferLike = GlobalClass<
  "GPUBuffer",
  { readonly size: number; readonly usage: number; destroy(): void }
>;

/** A GPUDevice, or what of it webccl's types name where the program has no types of WebGPU. */
export type GpuDeviceLike = GlobalClass<
  "GPUDevice",
  {
    readonly lost: Promise<{ readonly reason: string; readonly message: string }>;
    createBuffer(descriptor: { size: number; usage: number }): GpuBufferLike;
    destroy(): void;
  }
>;

/**
 * Elements in a GPUBuffer with the usage flags STORAGE, COPY_SRC and COPY_DST. Commands that write the buffer must be
 * submitted before the call that is given it.
 */
export interface GpuTensor {
  buffer: GpuBufferLike;
  dtype: DataType;
  /** Where the elements begin, a multiple of 4. Default: 0. */
  byteOffset?: number;
  /** Elements. Default: all up to the buffer's end; 8- and 16-bit dtypes must say it, since buffers are padded to 4 bytes. */
  count?: number;
}

/** Memory of a CUDA device: a DeviceBuffer of `@webccl/nccl`. */
export interface DeviceBuffer {
  readonly byteLength: number;
  /** The device's number in this process. */
  readonly device: number;
  /** True once it was given back. */
  readonly disposed: boolean;
  /** Bytes of the device to and from host memory, from `byteOffset` on. */
  copyFrom(host: HostArray, byteOffset?: number): Promise<void>;
  copyTo(host: HostArray, byteOffset?: number): Promise<void>;
  dispose(): void;
}

/** Elements in a DeviceBuffer. Work on other streams that writes them must be done before the call that is given it. */
export interface CudaTensor {
  cuda: DeviceBuffer;
  dtype: DataType;
  /** Where the elements begin, a multiple of the element's size. Default: 0. */
  byteOffset?: number;
  /** Elements. Default: all that fit up to the buffer's end. */
  count?: number;
}

/**
 * An `ort.Tensor` of onnxruntime-web, by the fields that count. Its dtype is that of `type` (float16 is f16, bool is u8), and
 * its count the product of `dims`: the buffers of ONNX Runtime are longer.
 */
export interface OrtTensor {
  readonly type: string;
  readonly dims: readonly number[];
  /** The product of `dims`. */
  readonly size: number;
  /** "cpu" or "gpu-buffer": then `data` is a typed array, or `gpuBuffer` a GPUBuffer. */
  readonly location: string;
  readonly gpuBuffer: unknown;
}

/** What a collective reads or writes. A bare typed array has its own dtype. */
export type Tensor = HostArray | HostTensor | GpuTensor | CudaTensor | OrtTensor;

/** A tensor whose shape matters. The product of `shape` is the tensor's count; an empty shape is one element. */
export interface ShapedTensor {
  tensor: Tensor;
  shape: readonly number[];
}

/** Every collective, in the order of its code in a frame's fingerprint (docs/protocol.md). */
export const COLLECTIVES = [
  "broadcast",
  "allReduce",
  "reduce",
  "allGather",
  "allGatherIntoTensor",
  "gather",
  "scatter",
  "reduceScatter",
  "reduceScatterTensor",
  "allToAll",
  "allToAllSingle",
  "barrier",
  "newGroup",
  "scan",
  "exscan",
  "send",
  "recv",
  "recvAnySource",
  "allGatherObject",
  "broadcastObject",
  "gatherObject",
  "scatterObject",
  "split",
  "allReduceCoalesced",
  "allGatherIntoTensorCoalesced",
  "reduceScatterTensorCoalesced",
  "registerBackend",
  "setDefaultBackend",
  "broadcastCoalesced",
] as const;

/** The name of a collective, as in a request, a message and a trace. */
export type Collective = (typeof COLLECTIVES)[number];

/** The runtime a rank runs in. */
export type Runtime = "node" | "deno" | "bun" | "browser";

/** Names as the values of an enumeration, each its own. */
export function valuesOf<N extends string>(names: readonly N[]): { readonly [K in N]: K } {
  return Object.freeze(Object.fromEntries(names.map((name) => [name, name]))) as { readonly [K in N]: K };
}
