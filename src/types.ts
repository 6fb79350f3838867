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
  /** Tells the class. */
  readonly [Symbol.toStringTag]: "Float16Array";
  /** 2. */
  readonly BYTES_PER_ELEMENT: number;
  /** How many elements it has. */
  readonly length: number;
  [index: number]: number;
  /** The elements, in order. */
  [Symbol.iterator](): ArrayIterator<number>;
  /** The element at `index`, from the end if that is negative. */
  at(index: number): number | undefined;
  /** Copies elements `start` to `end` to `target`. */
  copyWithin(target: number, start: number, end?: number): this;
  /** Sets elements `start` to `end` to `value`. */
  fill(value: number, start?: number, end?: number): this;
  /** The elements as one text. */
  join(separator?: string): string;
  /** Copies `values` to the elements from `offset` on. */
  set(values: ArrayLike<number>, offset?: number): void;
  /** A copy of elements `start` to `end`. */
  slice(start?: number, end?: number): Float16ArrayLike;
  /** Elements `start` to `end`, in the same memory. */
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
  /** The elements, or their bits. */
  data: HostArray;
  /** Their type. */
  dtype: DataType;
}

/** A tensor in host memory of each dtype, as `group.alloc` gives it: an array of the dtype's own class, else a tensor of its bits. */
export interface HostTensorOf {
  /** Signed, of 8 bits. */
  i8: Int8Array;
  /** Unsigned, of 8 bits. */
  u8: Uint8Array;
  /** Signed, of 16 bits. */
  i16: Int16Array;
  /** Unsigned, of 16 bits. */
  u16: Uint16Array;
  /** Signed, of 32 bits. */
  i32: Int32Array;
  /** Unsigned, of 32 bits. */
  u32: Uint32Array;
  /** Signed, of 64 bits: bigints. */
  i64: BigInt64Array;
  /** Unsigned, of 64 bits: bigints. */
  u64: BigUint64Array;
  /** The bits of each element. */
  f8e4m3: { data: Uint8Array; dtype: "f8e4m3" };
  /** The bits of each element. */
  f8e5m2: { data: Uint8Array; dtype: "f8e5m2" };
  /** A `Float16Array` where the runtime has that class. */
  f16: Float16ArrayLike | { data: Uint16Array; dtype: "f16" };
  /** The bits of each element. */
  bf16: { data: Uint16Array; dtype: "bf16" };
  /** IEEE binary32. */
  f32: Float32Array;
  /** IEEE binary64. */
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
  /** The buffer, of the group's device. It needs the usages STORAGE, COPY_SRC and COPY_DST, and must not be mapped. */
  buffer: GpuBufferLike;
  /** The type of its elements. */
  dtype: DataType;
  /** Where the elements begin, a multiple of 4. Default: 0. */
  byteOffset?: number;
  /** Elements. Default: all up to the buffer's end; 8- and 16-bit dtypes must say it, since buffers are padded to 4 bytes. */
  count?: number;
}

/** Memory of a CUDA device: a DeviceBuffer of `@webccl/nccl`. */
export interface DeviceBuffer {
  /** How many bytes it has. */
  readonly byteLength: number;
  /** The device's number in this process. */
  readonly device: number;
  /** True once it was given back. */
  readonly disposed: boolean;
  /** Bytes of the device to and from host memory, from `byteOffset` on. */
  copyFrom(host: HostArray, byteOffset?: number): Promise<void>;
  /** Copies from the device to host memory. */
  copyTo(host: HostArray, byteOffset?: number): Promise<void>;
  /** Frees the memory. */
  dispose(): void;
}

/** Elements in a DeviceBuffer. Work on other streams that writes them must be done before the call that is given it. */
export interface CudaTensor {
  /** Memory of a CUDA device, by @webccl/nccl. */
  cuda: DeviceBuffer;
  /** The type of its elements. */
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
  /** The element type, by ONNX Runtime's names. */
  readonly type: string;
  /** Its dims. */
  readonly dims: readonly number[];
  /** The product of `dims`. */
  readonly size: number;
  /** "cpu" or "gpu-buffer": then `data` is a typed array, or `gpuBuffer` a GPUBuffer. */
  readonly location: string;
  /** The buffer of a tensor on the GPU. */
  readonly gpuBuffer: unknown;
}

/** What a collective reads or writes. A bare typed array has its own dtype. */
export type Tensor = HostArray | HostTensor | GpuTensor | CudaTensor | OrtTensor;

/** A tensor whose shape matters. The product of `shape` is the tensor's count; an empty shape is one element. */
export interface ShapedTensor {
  /** The tensor. */
  tensor: Tensor;
  /** Its shape, whose product is the number of elements. */
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
