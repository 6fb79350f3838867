/** View: what a tensor is, told once from the caller's argument: in which memory it lies, and which elements it has. */
import type {
  CudaTensor,
  DataType,
  DeviceBuffer,
  GpuBufferLike,
  GpuTensor,
  HostArray,
  HostTensor,
  OrtTensor,
} from "../types.ts";

/** `count` elements of `dtype`, from `byteOffset` on. */
interface Elements {
  /** The type of its elements. */
  readonly dtype: DataType;
  /** How many elements it has. */
  readonly count: number;
  /** Where the first one lies in the buffer, in bytes. */
  readonly byteOffset: number;
  /** How many bytes all of them take. */
  readonly byteLength: number;
}

/** A tensor in host memory. */
export interface HostView extends Elements {
  /** Tells the kind of memory. */
  readonly memory: "host";
  /** What the caller passed. */
  readonly tensor: HostArray | HostTensor | OrtTensor;
  /** The array of its elements; of a part, that of the whole tensor. */
  readonly data: HostArray;
  /** The memory in which they lie. */
  readonly buffer: ArrayBufferLike;
}

/** A tensor in a GPUBuffer. */
export interface GpuView extends Elements {
  /** Tells the kind of memory. */
  readonly memory: "gpu";
  /** What the caller passed. */
  readonly tensor: GpuTensor | OrtTensor;
  /** The memory in which they lie. */
  readonly buffer: GpuBufferLike;
}

/** A tensor in memory of a CUDA device. */
export interface CudaView extends Elements {
  /** Tells the kind of memory. */
  readonly memory: "cuda";
  /** What the caller passed. */
  readonly tensor: CudaTensor;
  /** The memory in which they lie. */
  readonly buffer: DeviceBuffer;
}

/** A tensor, or a part of one. */
export type TensorView = HostView | GpuView | CudaView;

/** Elements `start` to `start + count` of a view, in the same memory. */
function partOf<V extends TensorView>(view: V, start: number, count: number): V {
  const width = view.count === 0 ? 0 : view.byteLength / view.count;
  return { ...view, count, byteOffset: view.byteOffset + start * width, byteLength: count * width };
}

/** A view cut into parts of these counts, one behind the other. */
export function partsOf<V extends TensorView>(view: V, counts: readonly number[]): V[] {
  let start = 0;
  return counts.map((count) => {
    const part = partOf(view, start, count);
    start += count;
    return part;
  });
}

/** The bytes of the buffer that two views have in common, or null. */
export function overlapOf(a: TensorView, b: TensorView): { start: number; end: number } | null {
  if (a.buffer !== b.buffer) return null;
  const start = Math.max(a.byteOffset, b.byteOffset);
  const end = Math.min(a.byteOffset + a.byteLength, b.byteOffset + b.byteLength);
  return start < end ? { start, end } : null;
}

/** Are they the same bytes? */
export function isSameMemory(a: TensorView, b: TensorView): boolean {
  return a.buffer === b.buffer && a.byteOffset === b.byteOffset && a.byteLength === b.byteLength;
}
