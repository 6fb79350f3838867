/**
 * topKHook: each rank sends the largest of its gradients alone, and keeps the others for the next time.
 *
 *     1. each rank adds to its bucket what it kept, and picks the k elements of largest magnitude; of equal ones the first
 *     2. an allGather takes the picked elements of all ranks, index and value, to all
 *     3. every rank adds them up in rank order and multiplies by f32(1/N): the same bits everywhere
 *
 * k = ceil(ratio · n) for a bucket of n elements. NaN counts as larger than all: an element that is NaN on any rank comes out as
 * NaN, unless a rank has more than k of them, and then k of them do. What is not finite is not kept.
 *
 * Bytes: all ranks together send N (N − 1) 8 k. So it pays while N · ratio is well below 1. Selection is on the host, in three
 * passes and without a sort. Memory: the bucket once more, and 8 N k bytes.
 *
 * Sources: S. U. Stich et al. 2018, "Sparsified SGD with Memory", arXiv:1809.07599; Y. Lin et al. 2018, "Deep Gradient
 * Compression", arXiv:1712.01887.
 */
import { ProtocolError } from "../../errors.ts";
import type { ProcessGroup } from "../../group/process-group.ts";
import { checkOptions, type OptionNames } from "../../option-checks.ts";
import type { CommHook } from "../comm-hook.ts";
import { BucketStates } from "./bucket-states.ts";
import { inTurnOf } from "./bucket-turn.ts";
import { checkFlag, checkGroup } from "./checks.ts";
import { compressible, readGradients, writeGradients } from "./gradients.ts";

/** Options of {@link TopKState}. */
export interface TopKOptions {
  /** The group that reduces. */
  group: ProcessGroup;
  /** The part of the elements that a rank sends, above 0 and at most 1, the same on all ranks. Default: 0.01. */
  ratio?: number;
  /** What is not sent is added the next time. Default: true. */
  errorFeedback?: boolean;
}

const OPTIONS: OptionNames<TopKOptions> = { group: true, ratio: true, errorFeedback: true };
const DEFAULT_RATIO = 0.01;

/** The state of {@link topKHook}, one for each Reducer and rank. */
export class TopKState {
  /** The group whose ranks reduce. */
  readonly group: ProcessGroup;
  /** The share of the elements that is sent, above 0 and at most 1. */
  readonly ratio: number;
  /** Is what was not sent added to the gradient of the next step? */
  readonly errorFeedback: boolean;
  /** @internal */
  readonly buckets: BucketStates<Float32Array> = new BucketStates<Float32Array>();

  /** @throws TypeError for an unknown option or a wrong type. @throws RangeError if `ratio` is not above 0 and at most 1. */
  constructor(options: TopKOptions) {
    checkOptions("TopKState", OPTIONS, options);
    const { group, ratio = DEFAULT_RATIO, errorFeedback = true } = options;
    checkGroup("TopKState", group);
    checkFlag("TopKState", "errorFeedback", errorFeedback);
    if (typeof ratio !== "number" || !(ratio > 0 && ratio <= 1)) {
      throw new RangeError(`TopKState: ratio must be above 0 and at most 1, got ${String(ratio)}`);
    }
    this.group = group;
    this.ratio = ratio;
    this.errorFeedback = errorFeedback;
  }
}

/**
 * The bucket's average by way of its largest elements.
 * @throws TypeError if the bucket's dtype is not f16, bf16, f32 or f64. @throws UnsupportedError if it is in CUDA memory.
 */
export const topKHook: CommHook<TopKState> = async (state, bucket) => {
  const { group, ratio, errorFeedback } = state;
  const view = compressible("topKHook", group, bucket.buffer());
  await inTurnOf(group, bucket, async (part) => {
    const values = await readGradients(group, view);
    const kept = state.buckets.of(bucket, () => new Float32Array(values.length));
    for (let i = 0; i < kept.length; i++) kept[i] = values[i]! + (errorFeedback ? kept[i]! : 0);
    const picked = pickLargest(kept, countOfTopK(kept.length, ratio));
    const all = new Uint32Array(picked.length * group.size);
    await group.allGatherIntoTensor(all, picked, part);
    await writeGradients(group, view, meanOf(group, all, picked.length / 2, values.length));
  });
  return bucket.buffer();
};

/** How many of `count` elements a rank sends. */
function countOfTopK(count: number, ratio: number): number {
  return Math.min(count, Math.ceil(ratio * count));
}

/** The indices of the k elements of largest magnitude in ascending order, then the bits of each. They become 0 in `values`. */
function pickLargest(values: Float32Array, k: number): Uint32Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const { threshold, equal } = thresholdOf(bits, k);
  const picked = new Uint32Array(2 * k);
  let [at, equalLeft] = [0, equal];
  for (let i = 0; i < bits.length; i++) {
    const magnitude = bits[i]! & 0x7fffffff;
    const isPicked = magnitude > threshold || (magnitude === threshold && equalLeft-- > 0);
    if (isPicked && at < k) {
      picked[at] = i;
      picked[k + at] = bits[i]!;
      at++;
    }
    if (isPicked || magnitude >= 0x7f800000) values[i] = 0;
  }
  return picked;
}

/** The k-th largest magnitude as its bits, found by its upper half and then by its lower one, and how many elements equal to it are among the k. */
function thresholdOf(bits: Uint32Array, k: number): { threshold: number; equal: number } {
  const upper = new Uint32Array(2 ** 15);
  for (let i = 0; i < bits.length; i++) upper[(bits[i]! & 0x7fffffff) >>> 16]!++;
  const high = rankIn(upper, k);
  const lower = new Uint32Array(2 ** 16);
  for (let i = 0; i < bits.length; i++) {
    if ((bits[i]! & 0x7fffffff) >>> 16 === high.bin) lower[bits[i]! & 0xffff]!++;
  }
  const low = rankIn(lower, high.left);
  return { threshold: high.bin * 2 ** 16 + low.bin, equal: low.left };
}

/** The bin, counted from the last one down, that holds the k-th element, and the place of that within the bin. */
function rankIn(histogram: Uint32Array, k: number): { bin: number; left: number } {
  let left = k;
  let bin = histogram.length - 1;
  for (; bin > 0 && histogram[bin]! < left; bin--) left -= histogram[bin]!;
  return { bin, left };
}

/** The mean of what all ranks picked: k indices and k values of each. */
function meanOf(group: ProcessGroup, all: Uint32Array, k: number, count: number): Float32Array {
  const mean = new Float32Array(count);
  const floats = new Float32Array(all.buffer);
  for (let rank = 0; rank < group.size; rank++) {
    const first = 2 * k * rank;
    for (let i = first; i < first + k; i++) {
      const index = all[i]!;
      if (index >= count) {
        const text = `group "${group.name}": rank ${rank} sent element ${index} of a bucket that has ${count}`;
        throw new ProtocolError(text, { group: group.name, rank });
      }
      mean[index] = mean[index]! + floats[i + k]!;
    }
  }
  const factor = Math.fround(1 / group.size);
  for (let i = 0; i < count; i++) mean[i] = mean[i]! * factor;
  return mean;
}

/** Bytes that all ranks together send for a bucket of `count` elements. */
export function topKWireBytes(count: number, size: number, ratio = DEFAULT_RATIO): number {
  return size * (size - 1) * 8 * countOfTopK(count, ratio);
}
