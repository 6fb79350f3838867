/**
 * What counts as a tensor in CUDA memory, and what to say of everything that does not.
 */
import { bytesPerElement, type CudaTensor, DATA_TYPES } from "../types.ts";
import { checkCount, checkEnd, isWhole, unknownDtype } from "./field-checks.ts";
import type { CudaView } from "./view.ts";

/** Does `value` hold a DeviceBuffer? Whether it is a right tensor, {@link describeCuda} tells. */
export function isCuda(value: unknown): value is CudaTensor {
  return typeof value === "object" && value !== null && "cuda" in value;
}

/**
 * The view of a tensor in CUDA memory.
 * @throws TypeError if it holds no DeviceBuffer or a disposed one, or for a dtype that is none; RangeError if the elements
 * are not aligned or do not fit into the buffer.
 */
export function describeCuda(tensor: CudaTensor): CudaView {
  const { cuda, dtype, byteOffset = 0 } = tensor;
  if (typeof cuda?.byteLength !== "number" || typeof cuda.copyTo !== "function") {
    throw new TypeError("cuda must be a DeviceBuffer of @webccl/nccl");
  }
  if (cuda.disposed) throw new TypeError("the tensor's DeviceBuffer was disposed");
  if (!DATA_TYPES.includes(dtype)) throw unknownDtype(dtype);
  const width = bytesPerElement(dtype);
  if (!isWhole(byteOffset) || byteOffset % width !== 0) {
    throw new RangeError(`byteOffset of a ${dtype} tensor must be a multiple of ${width}, got ${byteOffset}`);
  }
  const { count = Math.max(0, Math.floor((cuda.byteLength - byteOffset) / width)) } = tensor;
  checkCount(count);
  checkEnd({ dtype, byteOffset, count }, byteOffset + count * width, "DeviceBuffer", cuda.byteLength);
  return { memory: "cuda", tensor, buffer: cuda, dtype, count, byteOffset, byteLength: count * width };
}
