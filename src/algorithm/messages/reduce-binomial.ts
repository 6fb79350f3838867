/**
 * Reduce up a binomial tree. For small tensors and commutative operations.
 *
 * Ranks are counted from the root. A rank folds what its children send into its own input, the smallest subtree first,
 * and sends the result to its parent; after ⌈log₂ N⌉ steps the root has everything.
 *
 * N ranks, a tensor of S bytes in m segments. A rank with c children receives c·m messages and c·S bytes, the root has
 * ⌈log₂ N⌉ of them; every other rank sends m messages and S bytes. One segment of scratch per stripe, two on a rank
 * between root and leaf. Each element is finished by the root.
 *
 * Thakur, Rabenseifner, Gropp: Optimization of Collective Communication Operations in MPICH. Int. J. High Perform.
 * Comput. Appl. 19 (2005). DOI 10.1177/1094342005051521
 */
import type { Span } from "../../executor/executor.ts";
import type { ReduceOp } from "../../reduce-op.ts";
import { type Context, recvReduce, send } from "../context.ts";
import { binomialPeers } from "../toolkit/pattern.ts";
import { inStripes, prepareInPlace, withPrepared, withScratch } from "../toolkit/pipeline.ts";

/** The root's `tensor` becomes the fold of all; the others' are not changed. The counts are the same on all ranks. */
export async function reduceBinomial(context: Context, tensor: Span, root: number, op: ReduceOp): Promise<void> {
  if (tensor.count === 0) return;
  const { rank, size, executor } = context;
  const { parent, children } = binomialPeers(rank, size, root);
  if (parent === null) prepareInPlace(context, tensor, op);

  const absorbChildren = async (sum: Span, slot: number) => {
    for (const child of children.toReversed()) await recvReduce(context, child, sum, op, slot);
  };
  await inStripes(context, [tensor], async (cut, slot) => {
    const mine = cut(tensor);
    if (parent === null) {
      await absorbChildren(mine, slot);
      executor.finish(op, mine, size);
    } else {
      await withPrepared(context, [mine], op, ([input]) => {
        if (children.length === 0) return send(context, parent, input!, slot);
        return withScratch(executor, mine.dtype, [mine.count], async ([sum]) => {
          executor.copy(sum!, input!);
          await absorbChildren(sum!, slot);
          await send(context, parent, sum!, slot);
        });
      });
    }
  });
}
