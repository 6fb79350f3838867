/**
 * Reduce as a reduce-scatter followed by a gather. For large tensors: every rank folds its share.
 *
 * The tensor is cut into N chunks. Phase 1: rank r gets the result of chunk r, on the ring (reduce-scatter-ring.ts) or,
 * in rank order, by direct exchange (reduce-scatter-direct.ts). Phase 2: every other rank sends its chunk to the root.
 *
 * N ranks, a tensor of S bytes, chunks in m segments. Every rank trades (N − 1)·m messages of (N − 1)/N·S bytes each way
 * in phase 1; in phase 2 the root receives as much again and every other rank sends m messages of S/N. Scratch per
 * stripe: that of phase 1, and one segment on ranks other than the root. Each element is finished by one rank.
 *
 * Thakur, Rabenseifner, Gropp: Optimization of Collective Communication Operations in MPICH. Int. J. High Perform.
 * Comput. Appl. 19 (2005). DOI 10.1177/1094342005051521
 */
import type { Span } from "../../executor/executor.ts";
import type { ReduceOp } from "../../reduce-op.ts";
import { type Context, recv, send } from "../context.ts";
import { otherRanks } from "../toolkit/pattern.ts";
import { chunksOf, inStripes, withPrepared, withScratch } from "../toolkit/pipeline.ts";
import { directReduce } from "./reduce-scatter-direct.ts";
import { ringReduce } from "./reduce-scatter-ring.ts";

/** The root's `tensor` becomes the fold of all; the others' are not changed. The counts are the same on all ranks. */
export function reduceScatterGather(context: Context, tensor: Span, root: number, op: ReduceOp): Promise<void> {
  return scatterGather(context, tensor, root, op, ringReduce);
}

/** {@link reduceScatterGather}, folded in rank order. */
export function reduceOwnerDirect(context: Context, tensor: Span, root: number, op: ReduceOp): Promise<void> {
  return scatterGather(context, tensor, root, op, directReduce);
}

async function scatterGather(
  context: Context,
  tensor: Span,
  root: number,
  op: ReduceOp,
  reduceScatter: typeof ringReduce,
): Promise<void> {
  const { rank, size, executor } = context;
  const chunks = chunksOf(context, tensor);
  if (rank !== root) {
    await inStripes(context, chunks, (cut, slot) =>
      withPrepared(context, chunks.map(cut), op, (segments) => {
        const { count } = segments[rank]!;
        return withScratch(executor, tensor.dtype, [count], async ([result]) => {
          await reduceScatter(context, result!, segments, op, slot);
          if (count > 0) await send(context, root, result!, slot);
        });
      }),
    );
    return;
  }

  const inputs = chunksOf(context, executor.prepare(op, tensor, size));
  await inStripes(context, chunks, async (cut, slot) => {
    const segments = chunks.map(cut);
    await reduceScatter(context, segments[rank]!, inputs.map(cut), op, slot);
    const missing = otherRanks(rank, size).filter((peer) => segments[peer]!.count > 0);
    await Promise.all(missing.map((peer) => recv(context, peer, segments[peer]!, slot)));
  });
}
