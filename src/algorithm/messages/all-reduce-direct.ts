/**
 * All-reduce in one step: every rank sends its whole tensor to every other, and all fold everything. For small tensors
 * and few ranks, where only latency counts.
 *
 * After the step every rank holds all N inputs and folds them in rank order, ((x0 op x1) op x2) ….
 *
 * N ranks, a tensor of S bytes in m segments. Per rank: (N − 1)·m messages and (N − 1)·S bytes each way; N − 1 segments
 * of scratch per stripe. Every rank computes every element: the ranks' arithmetic must be equal.
 *
 * Thakur, Rabenseifner, Gropp: Optimization of Collective Communication Operations in MPICH. Int. J. High Perform.
 * Comput. Appl. 19 (2005). DOI 10.1177/1094342005051521
 */
import type { Span } from "../../executor/executor.ts";
import type { ReduceOp } from "../../reduce-op.ts";
import { type Context, recv, send } from "../context.ts";
import { otherRanks } from "../toolkit/pattern.ts";
import { inStripes, withScratch } from "../toolkit/pipeline.ts";

/** Every rank's `tensor` becomes the fold of all. The counts are the same on all ranks. */
export async function allReduceDirect(context: Context, tensor: Span, op: ReduceOp): Promise<void> {
  await foldOfAll(context, tensor, op, otherRanks(context.rank, context.size));
}

/** The same for this rank's `tensor`. Every other rank sends its own; this one's is sent to `receivers`, which fold too. */
export async function foldOfAll(
  context: Context,
  tensor: Span,
  op: ReduceOp,
  receivers: readonly number[],
): Promise<void> {
  if (tensor.count === 0) return;
  const { rank, size, executor } = context;
  const others = otherRanks(rank, size);
  const prepared = executor.prepare(op, tensor, size);
  await inStripes(context, [tensor], async (cut, slot) => {
    const [mine, input] = [cut(tensor), cut(prepared)];
    const counts = others.map(() => mine.count);
    await withScratch(executor, tensor.dtype, counts, async (scratch) => {
      const operands: Span[] = Array.from({ length: size }, () => input);
      others.forEach((peer, i) => {
        operands[peer] = scratch[i]!;
      });
      await Promise.all([
        ...receivers.map((peer) => send(context, peer, input, slot)),
        ...others.map((peer) => recv(context, peer, operands[peer]!, slot)),
      ]);
      executor.reduceMany(op, mine, operands);
    });
    executor.finish(op, mine, size);
  });
}
