/** What counts as a tensor of onnxruntime-web, and what to say of one that cannot be used. */
import { UnsupportedError } from "../errors.ts";
import type { DataType, HostArray, OrtTensor } from "../types.ts";
import { isWhole } from "./field-checks.ts";
import { describeGpu, isGpu } from "./gpu.ts";
import { describeHost } from "./host.ts";
import type { GpuView, HostView } from "./view.ts";

/** By the name of a type in ONNX Runtime, its dtype. A bool is a byte that is 0 or 1. */
const DTYPE_OF_TYPE = new Map<string, DataType>([
  ...([
    ["float32", "f32"],
    ["float16", "f16"],
    ["float64", "f64"],
    ["int8", "i8"],
    ["uint8", "u8"],
    ["int16", "i16"],
    ["uint16", "u16"],
  ] as const),
  ...([
    ["int32", "i32"],
    ["uint32", "u32"],
    ["int64", "i64"],
    ["uint64", "u64"],
    ["bool", "u8"],
  ] as const),
]);

/** The dtype of a type, or undefined if it has none. */
export function dtypeOfOrt(type: string): DataType | undefined {
  return DTYPE_OF_TYPE.get(type);
}

/** Is `value` an `ort.Tensor`? No other tensor has these fields. Whether it is a right one, {@link describeOrt} tells. */
export function isOrt(value: unknown): value is OrtTensor {
  return typeof value === "object" && value !== null && "dims" in value && "location" in value && "type" in value;
}

/**
 * The view of an `ort.Tensor`.
 * @throws TypeError if it was disposed, or has a type without a dtype, such as string or int4; or for what
 * {@link describeHost} and {@link describeGpu} refuse. @throws RangeError if its dims and its data differ.
 * @throws UnsupportedError if it is a WebGL texture or an MLTensor.
 */
export function describeOrt(tensor: OrtTensor): HostView | GpuView {
  const { type, dims, location } = tensor;
  if (location === "none") throw new TypeError("the ort.Tensor was disposed");
  const dtype = dtypeOfOrt(type);
  if (!dtype) {
    throw new TypeError(
      `an ort.Tensor of type ${type} has no dtype: use one of type ${[...DTYPE_OF_TYPE.keys()].join(", ")}`,
    );
  }
  const count = countOf(dims);
  if (location === "gpu-buffer") {
    const onGpu = { buffer: tensor.gpuBuffer, dtype, count };
    if (!isGpu(onGpu)) throw new TypeError('the gpuBuffer of an ort.Tensor with location "gpu-buffer" is no GPUBuffer');
    return { ...describeGpu(onGpu), tensor };
  }
  if (location !== "cpu" && location !== "cpu-pinned") {
    throw new UnsupportedError(
      `an ort.Tensor in a ${location} cannot be reached: set preferredOutputLocation to "cpu" or "gpu-buffer"`,
    );
  }
  const view = describeHost({ data: hostDataOf(tensor), dtype });
  if (view.count !== count) {
    throw new RangeError(`an ort.Tensor of dims [${dims}] has ${count} elements, and its data ${view.count}`);
  }
  return { ...view, tensor };
}

/** The elements of an `ort.Tensor` in host memory: a typed array, if it is a right one. */
export function hostDataOf(tensor: OrtTensor): HostArray {
  return (tensor as unknown as { data: HostArray }).data;
}

function countOf(dims: unknown): number {
  const count: unknown = Array.isArray(dims) ? dims.reduce((product, length) => product * length, 1) : undefined;
  if (!isWhole(count) || !(dims as unknown[]).every(isWhole)) {
    throw new TypeError(`dims of an ort.Tensor must be a list of whole numbers, got ${String(dims)}`);
  }
  return count as number;
}
