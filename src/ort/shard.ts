/**
 * The share of a weight matrix that one rank of a tensor-parallel model holds. A layer `y = act(x · A) · B` is split by the
 * columns of A and the rows of B: each rank computes act(x · A_r) · B_r alone, and the sum of these over the ranks is y.
 *
 * Source: Shoeybi et al., Megatron-LM, 2019, section 3, doi:10.48550/arXiv.1909.08053.
 */
import { checkOptions, type OptionNames } from "../option-checks.ts";
import { evenShare } from "../support/even-share.ts";
import { isWhole } from "../tensor/field-checks.ts";
import type { HostArray } from "../types.ts";

/** How an axis is cut. */
export interface ShardOptions {
  /**
   * Matrices of equal size that lie side by side along the axis, each of which is cut: 3 for queries, keys and values in
   * one matrix, 2 for a gated layer. Default: 1.
   */
  blocks?: number;
  /** Columns or rows that stay together, such as those of one attention head. Default: 1. */
  unit?: number;
}

const SHARD_OPTIONS: OptionNames<ShardOptions> = { blocks: true, unit: true };

/** One rank's share, and its dims, as `new ort.Tensor(type, data, dims)` takes them. */
export interface Shard<A extends HostArray> {
  /** Its elements, a copy. */
  data: A;
  /** Its dims. */
  dims: number[];
}

/** This rank among so many: a ProcessGroup is one. */
export interface Member {
  /** Which shard it is, from 0 on. */
  readonly rank: number;
  /** How many shards there are. */
  readonly size: number;
}

/**
 * This rank's columns of `weights`, an array of these `dims`: its share of the last axis, copied. A bias of one axis is cut
 * like the columns of its matrix. For the weights of a Gemm with transB, whose columns are rows, use {@link rowShard}.
 * @throws TypeError if `weights` is no typed array. @throws RangeError if the array has another count, if the axis is no whole number of blocks and units, or if there are
 * fewer units than ranks.
 */
export function columnShard<A extends HostArray>(
  weights: A,
  dims: readonly number[],
  member: Member,
  options: ShardOptions = {},
): Shard<A> {
  return shard("columnShard", weights, { dims, axis: dims.length - 1 }, member, options);
}

/**
 * This rank's rows of `weights`: its share of the last axis but one, copied.
 * @throws RangeError as {@link columnShard}, or if there is only one axis.
 */
export function rowShard<A extends HostArray>(
  weights: A,
  dims: readonly number[],
  member: Member,
  options: ShardOptions = {},
): Shard<A> {
  return shard("rowShard", weights, { dims, axis: dims.length - 2 }, member, options);
}

/**
 * How many of `length` columns or rows each rank of `size` has; ranks differ by at most one unit of each
 * block, and the first have more.
 * @throws RangeError as {@link columnShard}.
 */
export function shardLengths(length: number, size: number, options: ShardOptions = {}): number[] {
  checkOptions("shardLengths", SHARD_OPTIONS, options);
  return Array.from({ length: size }, (_, rank) => rangeOf("shardLengths", length, { rank, size }, options).all);
}

function shard<A extends HostArray>(
  name: string,
  weights: A,
  { dims, axis }: { dims: readonly number[]; axis: number },
  member: Member,
  options: ShardOptions,
): Shard<A> {
  checkOptions(name, SHARD_OPTIONS, options);
  if (!ArrayBuffer.isView(weights)) {
    throw new TypeError(`${name}: weights must be a typed array, such as the data of an ort.Tensor in host memory`);
  }
  const length = dims[axis];
  if (length === undefined) throw new RangeError(`${name}: dims [${dims}] have too few axes`);
  const product = (lengths: readonly number[]) => lengths.reduce((count, one) => count * one, 1);
  if (!dims.every(isWhole) || product(dims) !== weights.length) {
    throw new RangeError(`${name}: dims [${dims}] do not fit an array of ${weights.length} elements`);
  }
  const inner = product(dims.slice(axis + 1));
  const { start, count, block, all } = rangeOf(name, length, member, options);
  // A Node Buffer's own slice() is a view of the caller's weights; that of all typed arrays copies.
  const data = Uint8Array.prototype.slice.call(weights, 0, (weights.length / length) * all) as unknown as A;
  let at = 0;
  for (let first = start * inner; first < weights.length; first += block * inner) {
    const part = weights.subarray(first, first + count * inner);
    (data as Float32Array).set(part as Float32Array, at);
    at += part.length;
  }
  return { data, dims: dims.map((one, i) => (i === axis ? all : one)) };
}

/** Of each block of an axis, the first element and the elements that a rank has; and of all blocks together. */
function rangeOf(name: string, length: number, { rank, size }: Member, { blocks = 1, unit = 1 }: ShardOptions) {
  for (const [option, value] of Object.entries({ blocks, unit })) {
    if (!isWhole(value) || value === 0)
      throw new RangeError(`${name}: ${option} must be a whole number from 1 on, got ${value}`);
  }
  const block = length / blocks;
  const units = block / unit;
  if (!Number.isInteger(units)) {
    throw new RangeError(`${name}: an axis of ${length} is not ${blocks} × a whole number of units of ${unit}`);
  }
  if (units < size) {
    throw new RangeError(`${name}: ${units} units of ${unit} are too few for ${size} ranks: each must have one`);
  }
  const share = evenShare(units, rank, size);
  const count = share.count * unit;
  return { start: share.start * unit, count, block, all: count * blocks };
}
