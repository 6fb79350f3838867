/**
 * int8Hook: gradients as int8 in blocks, each with a scale of its own, and what the rounding takes is added the next time.
 *
 *     1. each rank adds to its bucket what it kept, encodes the blocks (int8-blocks.ts) and keeps what the encoding lost
 *     2. an allToAll takes each block to the rank that owns it; blocks are shared out evenly
 *     3. the owner sums the blocks of all ranks in rank order in f32, times f32(1/N), adds what it kept, encodes the result and
 *        keeps what that lost
 *     4. an allGather takes the results to all ranks, which decode them: the same bytes, and so the same bits everywhere
 *
 * Bytes: all ranks together send 2 (N − 1) (B + 4) bytes for each block of B elements; f32 takes 2 (N − 1) 4 B. Memory: the
 * bucket and its records once more, and 1/N of both. In a GPUBuffer steps 1, 3 and 4 are one kernel each.
 *
 * Sources: T. Dettmers 2015, "8-Bit Approximations for Parallelism in Deep Learning", arXiv:1511.04561; error feedback on both
 * sides: H. Tang et al. 2019, "DoubleSqueeze", arXiv:1905.05957, and S. P. Karimireddy et al. 2019, arXiv:1901.09847.
 */
import type { ProcessGroup } from "../../group/process-group.ts";
import { checkOptions, type OptionNames } from "../../option-checks.ts";
import { evenShare, type Share } from "../../support/even-share.ts";
import type { GpuView, HostView } from "../../tensor/view.ts";
import type { CommHook } from "../comm-hook.ts";
import type { GradBucket } from "../grad-bucket.ts";
import { BucketStates, inTurn } from "./bucket-states.ts";
import { checkFlag, checkGroup } from "./checks.ts";
import { compressible, readGradients, writeGradients } from "./gradients.ts";
import { addBlock, decodeBlock, encodeBlock, Records } from "./int8-blocks.ts";

/** Options of {@link Int8State}. */
export interface Int8Options {
  /** The group that reduces. */
  group: ProcessGroup;
  /** Elements that share a scale, a multiple of 4, the same on all ranks. Default: 256. */
  blockSize?: number;
  /** What the encoding loses is added the next time. Default: true. */
  errorFeedback?: boolean;
}

const OPTIONS: OptionNames<Int8Options> = { group: true, blockSize: true, errorFeedback: true };
const DEFAULT_BLOCK = 256;

/** What a rank keeps of a bucket: what was lost of its own gradients, and of the blocks that it owns. */
interface Kept {
  readonly own: Float32Array;
  readonly owned: Float32Array;
}

/** The state of {@link int8Hook}, one for each Reducer and rank. */
export class Int8State {
  readonly group: ProcessGroup;
  readonly blockSize: number;
  readonly errorFeedback: boolean;
  readonly buckets = new BucketStates<Kept>();

  /** @throws TypeError for an unknown option or a wrong type. @throws RangeError if `blockSize` is no multiple of 4 from 4 to 65,536. */
  constructor(options: Int8Options) {
    checkOptions("Int8State", OPTIONS, options);
    const { group, blockSize = DEFAULT_BLOCK, errorFeedback = true } = options;
    checkGroup("Int8State", group);
    checkFlag("Int8State", "errorFeedback", errorFeedback);
    if (!Number.isSafeInteger(blockSize) || blockSize < 4 || blockSize > 65_536 || blockSize % 4 !== 0) {
      throw new RangeError(`Int8State: blockSize must be a multiple of 4 from 4 to 65536, got ${blockSize}`);
    }
    this.group = group;
    this.blockSize = blockSize;
    this.errorFeedback = errorFeedback;
  }
}

/**
 * The bucket's average by way of int8. A block that has a NaN or an Inf on any rank is NaN; nothing of it is kept.
 * @throws TypeError if the bucket's dtype is not f16, bf16, f32 or f64. @throws UnsupportedError if it is in CUDA memory.
 */
export const int8Hook: CommHook<Int8State> = async (state, bucket) => {
  const view = compressible("int8Hook", state.group, bucket.buffer());
  await inTurn(state.group, () => reduceOnHost(state, bucket, view));
  return bucket.buffer();
};

async function reduceOnHost(state: Int8State, bucket: GradBucket, view: HostView | GpuView): Promise<void> {
  const { group, blockSize } = state;
  const { size, rank } = group;
  const values = await readGradients(group, view);
  const count = values.length;
  const blocks = Math.ceil(count / blockSize);
  const shares = Array.from({ length: size }, (_, r) => evenShare(blocks, r, size));
  const mine = shares[rank] as Share;
  const first = mine.start * blockSize;
  const ownedCount = Math.max(0, Math.min(count - first, mine.count * blockSize));
  const kept = state.buckets.of(bucket, () => ({
    own: new Float32Array(count),
    owned: new Float32Array(ownedCount),
  }));

  const records = new Records(blocks, blockSize);
  accumulate(kept.own, values, state.errorFeedback);
  encodeAll(records, 0, kept.own);

  const theirs = new Records(size * mine.count, blockSize);
  await group.allToAllSingle(theirs.words, records.words, {
    inputSplits: shares.map((share) => share.count * records.stride),
    outputSplits: shares.map(() => mine.count * records.stride),
  });

  if (!state.errorFeedback) kept.owned.fill(0);
  encodeMean(records, mine, theirs, size, kept.owned);

  const parts = shares.map(({ start, count: own }) =>
    records.words.subarray(start * records.stride, (start + own) * records.stride),
  );
  await group.allGather(parts, parts[rank]!);
  const result = view.memory === "host" && view.dtype === "f32" ? values : new Float32Array(count);
  for (let block = 0; block < blocks; block++) {
    decodeBlock(records, block, result, block * blockSize, Math.min(count, (block + 1) * blockSize));
  }
  await writeGradients(group, view, result);
}

/** kept = values + kept, or the values alone. */
function accumulate(kept: Float32Array, values: Float32Array, errorFeedback: boolean): void {
  if (errorFeedback) for (let i = 0; i < kept.length; i++) kept[i] = kept[i]! + values[i]!;
  else kept.set(values);
}

/** The values as records from record `first` on. */
function encodeAll(records: Records, first: number, values: Float32Array): void {
  const { blockSize } = records;
  for (let start = 0, record = first; start < values.length; start += blockSize, record++) {
    encodeBlock(records, record, values, start, Math.min(values.length, start + blockSize));
  }
}

/** The mean of the blocks that this rank owns, as all ranks sent them, with what was kept of them. */
function encodeMean(records: Records, mine: Share, theirs: Records, size: number, kept: Float32Array): void {
  const { blockSize } = records;
  const factor = Math.fround(1 / size);
  const sum = new Float32Array(kept.length);
  for (let block = 0; block < mine.count; block++) {
    const [start, end] = [block * blockSize, Math.min(kept.length, (block + 1) * blockSize)];
    for (let rank = 0; rank < size; rank++) addBlock(theirs, rank * mine.count + block, sum, start, end);
  }
  for (let i = 0; i < kept.length; i++) kept[i] = Math.fround(sum[i]! * factor) + kept[i]!;
  encodeAll(records, mine.start, kept);
}

/** Bytes that all ranks together send for a bucket of `count` elements. */
export function int8WireBytes(count: number, size: number, blockSize = DEFAULT_BLOCK): number {
  return 2 * (size - 1) * Math.ceil(count / blockSize) * (blockSize + 4);
}
