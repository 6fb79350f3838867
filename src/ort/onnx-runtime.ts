/**
 * The parts of onnxruntime-web that this entry uses, by their form: a program without that package compiles, and whichever
 * of its builds a program loads (`onnxruntime-web`, `/webgpu`, `/wasm`) can be passed.
 */
import type { GpuBufferLike, OrtTensor } from "../types.ts";

/** A tensor that ONNX Runtime made. */
export interface OrtOutput extends OrtTensor {
  /** Gives its memory back. */
  dispose(): void;
}

/** An `ort.InferenceSession` whose feeds are `F` and whose outputs are `R`. */
export interface OrtSession<F, R> {
  /** The names of the model's outputs, in order. */
  readonly outputNames: readonly string[];
  /** Runs the model on its inputs, by name. */
  run(feeds: F): Promise<R>;
}

/** `ort.env`, of a build that has the WebGPU execution provider. */
export interface OrtEnv {
  /** The settings of the WebGPU execution provider, with its device. */
  readonly webgpu: { readonly device?: unknown };
}

/** By type of an `ort.Tensor` that is no text and takes whole bytes: the class of its data. Of float16, the bits. */
const ARRAY_CLASSES = {
  float32: Float32Array,
  float16: Uint16Array,
  float64: Float64Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
} as const;

/** The type of an `ort.Tensor` that a collective takes. */
export type OrtType = keyof typeof ARRAY_CLASSES;

/** Every such type, in the order of its code in the header of an activation. */
export const ORT_TYPES = Object.keys(ARRAY_CLASSES) as readonly OrtType[];

/** The typed array that holds the elements of an ort.Tensor of a type. */
export type DataOf<T extends OrtType> = InstanceType<(typeof ARRAY_CLASSES)[T]>;

/** The types of which ONNX Runtime keeps tensors in GPUBuffers. */
const GPU_TYPES = ["float32", "float16", "int32", "int64", "uint32", "uint8", "bool"] as const;
/** The element types that an ort.Tensor on the GPU may have. */
export type GpuType = (typeof GPU_TYPES)[number];

/** Does ONNX Runtime keep tensors of this type in GPUBuffers? */
export function isGpuType(type: OrtType): type is GpuType {
  return GPU_TYPES.some((one) => one === type);
}

/** The class `ort.Tensor`, whose objects are `T`. */
export interface OrtTensorClass<T> {
  /** A tensor of these elements and dims. */
  new (type: OrtType, data: DataOf<OrtType>, dims: readonly number[]): T;
  /** A tensor on the GPU over a buffer. */
  fromGpuBuffer(
    buffer: GpuBufferLike,
    options: {
      dataType: GpuType;
      dims: readonly number[];
      download(): Promise<DataOf<GpuType>>;
      dispose(): void;
    },
  ): T;
}

/** The data of a tensor of this type: so many zeros, or these bytes. */
export function arrayFor<T extends OrtType>(type: T, source: number | ArrayBuffer): DataOf<T> {
  const ArrayClass: new (source: number | ArrayBuffer) => unknown = ARRAY_CLASSES[type];
  return new ArrayClass(source) as DataOf<T>;
}
