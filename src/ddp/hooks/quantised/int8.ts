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
import type { ProcessGroup } from "../../../group/process-group.ts";
import type { TurnPart } from "../../../group/turns.ts";
import { checkOptions, type OptionNames } from "../../../option-checks.ts";
import { evenShare, type Share } from "../../../support/even-share.ts";
import { partOfTensor } from "../../../tensor/part.ts";
import type { CommHook } from "../../comm-hook.ts";
import { BucketStates } from "../bucket-states.ts";
import { inTurnOf } from "../bucket-turn.ts";
import { checkFlag, checkGroup } from "../checks.ts";
import { asF32OnGpu, compressible, isForKernels, readGradients, writeGradients } from "../gradients.ts";
import { type Blocks, type Int8Job, wordsOfBlock } from "./int8-blocks.ts";
import type { GpuKept } from "./int8-gpu.ts";
import { HostBlocks, type HostKept, keepOnHost } from "./int8-host.ts";

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

/** The state of {@link int8Hook}, one for each Reducer and rank. */
export class Int8State {
  /** The group whose ranks reduce. */
  readonly group: ProcessGroup;
  /** Elements that share a scale. */
  readonly blockSize: number;
  /** Is the error of one step added to the gradient of the next? */
  readonly errorFeedback: boolean;
  /** @internal */
  readonly hostBuckets: BucketStates<HostKept> = new BucketStates<HostKept>();
  /** @internal */
  readonly gpuBuckets: BucketStates<GpuKept> = new BucketStates<GpuKept>(({ own, owned }) => {
    own.buffer.destroy();
    owned.buffer.destroy();
  });

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

  /** Frees what it keeps for each bucket, in GPUBuffers too, once its last step has ended. A step after it begins anew. */
  destroy(): void {
    this.hostBuckets.clear();
    this.gpuBuckets.clear();
  }
}

/**
 * The bucket's average by way of int8. A block that has a NaN or an Inf on any rank is NaN; nothing of it is kept.
 * @throws TypeError if the bucket's dtype is not f16, bf16, f32 or f64. @throws UnsupportedError if it is in CUDA memory.
 */
export const int8Hook: CommHook<Int8State> = async (state, bucket) => {
  const { group, blockSize, errorFeedback } = state;
  const view = compressible("int8Hook", group, bucket.buffer());
  const shares = shareOut(Math.ceil(view.count / blockSize), group.size);
  const job: Int8Job = { group, count: view.count, blockSize, errorFeedback, mine: shares[group.rank]! };
  await inTurnOf(group, bucket, async (part) => {
    if (isForKernels(view)) {
      const { GpuBlocks, keepOnGpu } = await import("./int8-gpu.ts");
      const kept = state.gpuBuckets.of(bucket, () => keepOnGpu(job));
      await asF32OnGpu(group, view, (values) =>
        exchange(group, part, shares, blockSize, new GpuBlocks(job, values, kept)),
      );
      return;
    }
    const values = await readGradients(group, view);
    const kept = state.hostBuckets.of(bucket, () => keepOnHost(job));
    await exchange(group, part, shares, blockSize, new HostBlocks(job, values, kept));
    await writeGradients(group, view, values);
  });
  return bucket.buffer();
};

/** Steps 1 to 4 of the file's head. */
async function exchange(
  group: ProcessGroup,
  call: TurnPart,
  shares: readonly Share[],
  blockSize: number,
  blocks: Blocks,
): Promise<void> {
  const stride = wordsOfBlock(blockSize);
  const own = shares[group.rank]!.count * stride;
  try {
    blocks.encode();
    await group.allToAllSingle(blocks.received, blocks.records, {
      ...call,
      inputSplits: shares.map(({ count }) => count * stride),
      outputSplits: shares.map(() => own),
    });
    blocks.encodeMean();
    const parts = shares.map(({ start, count }) => partOfTensor(blocks.records, start * stride, count * stride));
    await group.allGather(parts, parts[group.rank]!, call);
    blocks.decode();
  } finally {
    blocks.discard();
  }
}

function shareOut(blocks: number, size: number): Share[] {
  return Array.from({ length: size }, (_, rank) => evenShare(blocks, rank, size));
}

/** Bytes that all ranks together send for a bucket of `count` elements. */
export function int8WireBytes(count: number, size: number, blockSize = DEFAULT_BLOCK): number {
  return 2 * (size - 1) * Math.ceil(count / blockSize) * (blockSize + 4);
}
