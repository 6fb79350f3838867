/**
 * All-reduce by recursive doubling. For small tensors and many ranks: the fewest steps without N − 1 messages per rank.
 *
 * P is the largest power of two not above N. First the N − P ranks too many, the even ones of the first pairs, hand
 * their tensors to their odd neighbours. Then, at distance d = 1, 2, 4, … P/2, each of the P ranks trades its tensor
 * with one partner and both fold, after which each holds the fold of 2d of them. Last, the odd neighbours hand the
 * result back. What a rank holds is a fold of consecutive ranks, the lower partner's is the left operand, so all ranks
 * compute the same tree.
 *
 * N ranks, a tensor of S bytes in m segments. Each way, in messages of a segment and with m of them per tensor: log₂ P
 * tensors for a rank that takes part, one more for one that also speaks for its neighbour, one for one that sits out;
 * one segment of scratch per stripe. Every rank computes every element: the ranks' arithmetic must be equal.
 *
 * Thakur, Rabenseifner, Gropp: Optimization of Collective Communication Operations in MPICH. Int. J. High Perform.
 * Comput. Appl. 19 (2005). DOI 10.1177/1094342005051521
 */
import type { Span } from "../../executor/executor.ts";
import type { ReduceOp } from "../../reduce-op.ts";
import { type Context, recv, recvReduce, send } from "../context.ts";
import { doublingPeers } from "../toolkit/pattern.ts";
import { inStripes, prepareInPlace, reducePair, sendRecv, withScratch } from "../toolkit/pipeline.ts";

/** Every rank's `tensor` becomes the fold of all. The counts are the same on all ranks. */
export async function allReduceDoubling(context: Context, tensor: Span, op: ReduceOp): Promise<void> {
  if (tensor.count === 0) return;
  const { rank, size, executor } = context;
  const { proxy, ward, partners } = doublingPeers(rank, size);
  prepareInPlace(context, tensor, op);
  await inStripes(context, [tensor], async (cut, slot) => {
    const mine = cut(tensor);
    if (proxy !== null) {
      await send(context, proxy, mine, slot);
      await recv(context, proxy, mine, slot);
      return;
    }
    if (ward !== null) await recvReduce(context, ward, mine, op, slot);
    await withScratch(executor, mine.dtype, [mine.count], async ([incoming]) => {
      for (const partner of partners) {
        await sendRecv(context, partner, mine, partner, incoming!, slot);
        reducePair(context, op, mine, partner, incoming!, mine);
      }
    });
    executor.finish(op, mine, size);
    if (ward !== null) await send(context, ward, mine, slot);
  });
}
