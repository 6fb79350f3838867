/**
 * What counts as a tensor in GPU memory, and what to say of everything that does not.
 */
import { bytesPerElement, DATA_TYPES, type DataType, type GpuTensor } from "../types.ts";
import { checkCount, checkEnd, isWhole, unknownDtype } from "./field-checks.ts";
import type { GpuView } from "./view.ts";

/** The usage flags that the buffer of a tensor needs, by the numbers that the WebGPU specification gives: no runtime has to have the global. */
export const TENSOR_FLAGS = { STORAGE: 0x80, COPY_SRC: 0x4, COPY_DST: 0x8 } as const;

/** Is `value` a GPUBuffer, of whichever realm? */
export function isGpuBuffer(value: unknown): value is GPUBuffer {
  return typeof value === "object" && value !== null && "mapAsync" in value && "usage" in value;
}

/** Does `value` hold a GPUBuffer? Whether it is a right tensor, {@link describeGpu} tells. */
export function isGpu(value: unknown): value is GpuTensor {
  return typeof value === "object" && value !== null && "buffer" in value && isGpuBuffer(value.buffer);
}

/**
 * The view of a tensor in GPU memory.
 * @throws TypeError if its GPUBuffer is mapped or lacks a usage flag; for a dtype that is none, an 8- or 16-bit dtype without
 * `count`, a `byteOffset` that is not a multiple of 4.
 * @throws RangeError if the elements, padded to whole words, do not fit into the buffer.
 */
export function describeGpu(tensor: GpuTensor): GpuView {
  const { buffer, dtype, byteOffset = 0 } = tensor;
  if (!DATA_TYPES.includes(dtype)) throw unknownDtype(dtype);
  const missing = Object.entries(TENSOR_FLAGS).flatMap(([name, flag]) => (buffer.usage & flag ? [] : [name]));
  if (missing.length > 0) {
    throw new TypeError(`the GPUBuffer of a ${dtype} tensor needs the usage ${missing.join(" and ")}`);
  }
  if (buffer.mapState !== "unmapped") {
    throw new TypeError(
      `the GPUBuffer of a ${dtype} tensor is ${buffer.mapState === "pending" ? "being mapped" : "mapped"}: unmap it first`,
    );
  }
  if (!isWhole(byteOffset) || byteOffset % 4 !== 0) {
    throw new TypeError(`byteOffset of a tensor in a GPUBuffer must be a multiple of 4, got ${byteOffset}`);
  }
  const width = bytesPerElement(dtype);
  const { count = wholeCount(buffer, dtype, byteOffset) } = tensor;
  checkCount(count);
  checkEnd({ dtype, byteOffset, count }, byteOffset + Math.ceil((count * width) / 4) * 4, "GPUBuffer", buffer.size);
  return { memory: "gpu", tensor, buffer, dtype, count, byteOffset, byteLength: count * width };
}

/** All elements from `byteOffset` to the buffer's end. */
function wholeCount(buffer: GPUBuffer, dtype: DataType, byteOffset: number): number {
  const width = bytesPerElement(dtype);
  if (width < 4) {
    throw new TypeError(`a ${dtype} tensor in a GPUBuffer needs its count: buffers are padded to 4 bytes`);
  }
  const bytes = Math.max(0, buffer.size - byteOffset);
  if (bytes % width !== 0) {
    throw new TypeError(
      `the GPUBuffer has ${bytes} bytes from byte ${byteOffset} on, not a whole number of ${dtype} elements: give count`,
    );
  }
  return bytes / width;
}
