/** Checks of a call's arguments on this rank. Each throws TypeError or RangeError, and then nothing has happened. */
import { describeCudaTensor, isCudaTensor } from "../tensor/cuda.ts";
import { describeGpuTensor, isGpuTensor } from "../tensor/gpu.ts";
import { describeHostTensor } from "../tensor/host.ts";
import { extentOf, isSameExtent, overlapOf } from "../tensor/overlap.ts";
import { bytesPerElement, type DataType, type Tensor } from "../types.ts";

/** A tensor's dtype and number of elements, whatever memory it is in. */
export interface TensorShape {
  readonly dtype: DataType;
  readonly count: number;
}

/** Dtype and count of `tensor`; `name` is what the caller calls it. */
export function shapeOf(tensor: Tensor, name: string): TensorShape {
  try {
    if (!ArrayBuffer.isView(tensor)) {
      if (isGpuTensor(tensor)) return describeGpuTensor(tensor);
      if (isCudaTensor(tensor)) return describeCudaTensor(tensor);
    }
    const { data, dtype } = describeHostTensor(tensor);
    return { dtype, count: data.length };
  } catch (error) {
    const { message } = error as Error;
    const ErrorClass = error instanceof RangeError ? RangeError : TypeError;
    throw new ErrorClass(`${name}: ${message}`, { cause: error });
  }
}

/** Elements `start` to `start + count` of a tensor, sharing its memory; only to be compared with others. */
export function subTensor(tensor: Tensor, start: number, count: number): Tensor {
  if (isGpuTensor(tensor)) {
    const { buffer, dtype, byteOffset = 0 } = tensor;
    return { buffer, dtype, byteOffset: byteOffset + start * bytesPerElement(dtype), count };
  }
  if (isCudaTensor(tensor)) {
    const { cuda, dtype, byteOffset = 0 } = tensor;
    return { cuda, dtype, byteOffset: byteOffset + start * bytesPerElement(dtype), count };
  }
  if (ArrayBuffer.isView(tensor)) return tensor.subarray(start, start + count);
  return { data: tensor.data.subarray(start, start + count), dtype: tensor.dtype };
}

/** `rank` as a rank of a group of `size`. */
export function checkRank(rank: number, size: number, name: string): number {
  if (!Number.isInteger(rank) || rank < 0 || rank >= size) {
    throw new RangeError(`${name} is ${rank}, and the group has ranks 0 to ${size - 1}`);
  }
  return rank;
}

/** A peer of a point-to-point call. */
export function checkPeer(peer: number, self: number, size: number, name: string): number {
  checkRank(peer, size, name);
  if (peer === self) throw new RangeError(`${name} is ${peer}, which is this rank itself`);
  return peer;
}

/** A tag: a whole number below 2^32 - 1. */
export function checkTag(tag: number): number {
  if (!Number.isInteger(tag) || tag < 0 || tag >= 0xffffffff) {
    throw new RangeError(`tag must be a whole number from 0 to 4294967294, got ${tag}`);
  }
  return tag;
}

/** A list with one tensor per rank, all of one dtype. */
export function checkList(
  tensors: readonly Tensor[] | null,
  size: number,
  dtype: DataType,
  name: string,
): TensorShape[] {
  if (!Array.isArray(tensors)) {
    throw new TypeError(
      `${name} must be a list of ${size} tensors, one per rank; got ${tensors === null ? "null" : typeof tensors}`,
    );
  }
  if (tensors.length !== size) {
    throw new RangeError(
      `${name} has ${tensors.length} tensors, and the group has ${size} ranks: one per rank is needed`,
    );
  }
  return tensors.map((tensor: Tensor, i) => {
    const shape = shapeOf(tensor, `${name}[${i}]`);
    checkDtype(shape.dtype, dtype, `${name}[${i}]`);
    return shape;
  });
}

export function checkDtype(dtype: DataType, expected: DataType, name: string): void {
  if (dtype !== expected)
    throw new TypeError(`${name} is ${dtype}, and the other tensors of this call are ${expected}`);
}

export function checkCount(count: number, expected: number, name: string, because: string): void {
  if (count !== expected) throw new RangeError(`${name} has ${count} elements, and ${because} needs ${expected}`);
}

/** Split sizes that add up to `count`, or equal shares. */
export function checkSplits(
  splits: readonly number[] | undefined,
  count: number,
  size: number,
  name: string,
): number[] {
  if (splits === undefined) {
    if (count % size !== 0) {
      throw new RangeError(
        `${name} has ${count} elements, which ${size} ranks cannot share equally: give ${name}Splits`,
      );
    }
    return new Array<number>(size).fill(count / size);
  }
  if (splits.length !== size) {
    throw new RangeError(`${name}Splits has ${splits.length} entries, and the group has ${size} ranks`);
  }
  let total = 0;
  for (const split of splits) {
    if (!Number.isInteger(split) || split < 0)
      throw new RangeError(`${name}Splits holds ${split}: whole numbers are needed`);
    total += split;
  }
  checkCount(count, total, name, `${name}Splits, which add up to ${total},`);
  return [...splits];
}

/**
 * Inputs and outputs of one call must not share memory, except that `inputs[own]` and `outputs[own]` may be the same
 * elements (the in-place form). Pass -1 where there is none.
 */
export function checkDisjoint(inputs: readonly Tensor[], outputs: readonly Tensor[], own: number): void {
  const into = outputs.map(extentOf);
  const from = inputs.map(extentOf);
  into.forEach((output, o) => {
    for (let other = 0; other < o; other++) {
      if (overlapOf(into[other]!, output)) throw new TypeError(`outputs ${other} and ${o} share memory`);
    }
    from.forEach((input, i) => {
      const inPlace = own >= 0 && (i === own || from.length === 1) && (o === own || into.length === 1);
      if (overlapOf(input, output) && !(inPlace && isSameExtent(input, output))) {
        throw new TypeError(
          `an input and an output share memory${own >= 0 ? "; in place, this rank's input is exactly its own part" : ""}`,
        );
      }
    });
  });
}
