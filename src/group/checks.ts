/** Checks of a call's arguments on this rank. Each throws TypeError or RangeError, and then nothing has happened. */

import type { RootOptions } from "../options.ts";
import { describeArgument } from "../tensor/describe.ts";
import { isWhole, unknownDtype } from "../tensor/field-checks.ts";
import { isSameMemory, overlapOf, type TensorView } from "../tensor/view.ts";
import { DATA_TYPES, type DataType, type Tensor } from "../types.ts";

/** Who makes the call: this rank, in a group of so many. */
export interface Caller {
  readonly rank: number;
  readonly size: number;
}

/** `rank` as a rank of a group of `size`. */
export function checkRank(rank: number, size: number, name: string): number {
  if (typeof rank !== "number") throw new TypeError(`${name} must be a number, got ${typeof rank} ${String(rank)}`);
  if (!Number.isInteger(rank) || rank < 0 || rank >= size) {
    throw new RangeError(`${name} is ${rank}, and the group has ranks 0 to ${size - 1}`);
  }
  return rank;
}

/** A function that is told of events. */
export function checkHook(where: string, hook: unknown): void {
  if (typeof hook !== "function") throw new TypeError(`${where}: the hook must be a function, got ${typeof hook}`);
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
): TensorView[] {
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
    const view = describeArgument(tensor, `${name}[${i}]`);
    checkDtype(view.dtype, dtype, `${name}[${i}]`);
    return view;
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
export function checkDisjoint(inputs: readonly TensorView[], outputs: readonly TensorView[], own: number): void {
  outputs.forEach((output, o) => {
    const other = outputs.findIndex((before, i) => i < o && overlapOf(before, output));
    if (other >= 0) throw new TypeError(`outputs ${other} and ${o} share memory`);
    inputs.forEach((input, i) => {
      const inPlace = own >= 0 && (i === own || inputs.length === 1) && (o === own || outputs.length === 1);
      if (overlapOf(input, output) && !(inPlace && isSameMemory(input, output))) {
        throw new TypeError(
          `an input and an output share memory${own >= 0 ? "; in place, this rank's input is exactly its own part" : ""}`,
        );
      }
    });
  });
}

/** @throws TypeError if `alloc` has no such dtype, or cannot make so many elements. */
export function checkAllocation(dtype: DataType, count: number): void {
  if (!DATA_TYPES.includes(dtype)) throw unknownDtype(dtype);
  if (!isWhole(count)) throw new TypeError(`alloc: count must be a whole number of elements, got ${String(count)}`);
}

/** The root that the options name; rank 0 by default. */
export function rootOf({ size }: Caller, { root = 0 }: RootOptions): number {
  return checkRank(root, size, "root");
}

/** A list that root has, and no other rank. */
export function checkRootList({ rank }: Caller, list: readonly unknown[] | null, root: number, name: string): void {
  if (root === rank && !list)
    throw new TypeError(`${name} is null, and this rank (${root}) is the root: it needs them`);
  if (root !== rank && list) {
    throw new TypeError(`${name} is given on rank ${rank}, and only the root (${root}) has them: pass null`);
  }
}
