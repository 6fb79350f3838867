/**
 * Reduce-scatter by direct exchange: every rank sends each owner its piece, and the owner folds what it gets.
 * For small tensors, and, because the fold is in rank order, for deterministic mode and non-commutative operations.
 *
 * One phase: rank r receives the pieces of chunk r from the N − 1 others, and folds ((x0 op x1) op x2) ….
 *
 * N ranks, chunks of B bytes in m segments. Per rank: (N − 1)·m messages and (N − 1)·B bytes each way; N − 1 segments
 * of scratch per stripe. Each element is finished by one rank, its owner.
 *
 * Thakur, Rabenseifner, Gropp: Optimization of Collective Communication Operations in MPICH ("pairwise exchange").
 * Int. J. High Perform. Comput. Appl. 19 (2005). DOI 10.1177/1094342005051521
 */
import type { Span } from "../../executor/executor.ts";
import type { ReduceOp } from "../../reduce-op.ts";
import { type Context, recv, send } from "../context.ts";
import { otherRanks } from "../toolkit/pattern.ts";
import { type ReduceScatter, reduceScatterBy, withScratch } from "../toolkit/pipeline.ts";

export const reduceScatterDirect: ReduceScatter = reduceScatterBy(directReduce);

/** One stripe. The inputs are prepared; `output` is finished when it returns. */
export async function directReduce(
  context: Context,
  output: Span,
  inputs: readonly Span[],
  op: ReduceOp,
  slot: number,
): Promise<void> {
  const { rank, size, executor } = context;
  const others = otherRanks(rank, size);
  const sending = others.filter((peer) => inputs[peer]!.count > 0);
  const receiving = output.count > 0 ? others : [];
  const counts = receiving.map(() => output.count);
  await withScratch(executor, output.dtype, counts, async (scratch) => {
    const operands = [...inputs];
    receiving.forEach((peer, i) => {
      operands[peer] = scratch[i]!;
    });
    await Promise.all([
      ...sending.map((peer) => send(context, peer, inputs[peer]!, slot)),
      ...receiving.map((peer) => recv(context, peer, operands[peer]!, slot)),
    ]);
    if (output.count > 0) executor.reduceMany(op, output, operands);
  });
  if (output.count > 0) executor.finish(op, output, size);
}
