/** What counts as a tensor of onnxruntime-web, and what to say of one that cannot be used. Every page loads this: it is short. */
import { UnsupportedError } from "../errors.ts";
import { DATA_TYPES, type DataType, type HostArray, type OrtTensor } from "../types.ts";
import { describeGpu } from "./gpu.ts";
import { describeHost } from "./host.ts";
import type { GpuView, HostView } from "./view.ts";

/** The dtype of a type, such as f32 of float32; one that does not exist if it has none. A bool is a byte that is 0 or 1. */
export function dtypeOfOrt(type: string): DataType {
  return type.replace("bool", "u8").replace(/^([fiu])\D+/, "$1") as DataType;
}

/** Is `value` an `ort.Tensor`? No other tensor has a location. Whether it is a right one, {@link describeOrt} tells. */
export function isOrt(value: unknown): value is OrtTensor {
  return typeof (value as OrtTensor | null | undefined)?.location === "string";
}

/**
 * The view of an `ort.Tensor`.
 * @throws TypeError if it was disposed, or has a type without a dtype, such as string or int4; or for what
 * {@link describeHost} and {@link describeGpu} refuse.
 * @throws UnsupportedError if it is a WebGL texture or an MLTensor.
 */
export function describeOrt(tensor: OrtTensor): HostView | GpuView {
  const { type, size: count, location } = tensor;
  const dtype = dtypeOfOrt(type);
  if (!DATA_TYPES.includes(dtype)) throw new TypeError(`an ort.Tensor of ${type} has no elements of a dtype`);
  if (location === "cpu") {
    const { data } = tensor as unknown as { data: HostArray };
    return { ...describeHost({ data, dtype }), tensor };
  }
  if (location === "gpu-buffer") {
    return { ...describeGpu({ buffer: tensor.gpuBuffer as GPUBuffer, dtype, count }), tensor };
  }
  if (location === "none") throw new TypeError("the ort.Tensor was disposed");
  throw new UnsupportedError(`an ort.Tensor in a ${location} cannot be reached: keep it in "cpu" or "gpu-buffer"`);
}
