/**
 * All-reduce by direct exchange with the chunks' owners: the one for deterministic mode and non-commutative operations
 * at any size, and for medium sizes in general.
 *
 * The tensor is cut into N chunks. Phase 1: every rank sends each owner its piece, and rank r folds chunk r in rank
 * order, ((x0 op x1) op x2) … (reduce-scatter-direct.ts). Phase 2: rank r sends the result of chunk r to every other.
 *
 * N ranks, a tensor of S bytes, chunks in m segments. Per rank: 2(N − 1)·m messages and 2(N − 1)/N·S bytes each way;
 * N − 1 segments of scratch per stripe. Each element is finished by one rank, its owner. Two steps instead of the ring's
 * 2(N − 1), but every pair of ranks talks.
 *
 * Thakur, Rabenseifner, Gropp: Optimization of Collective Communication Operations in MPICH ("pairwise exchange").
 * Int. J. High Perform. Comput. Appl. 19 (2005). DOI 10.1177/1094342005051521
 */
import type { Span } from "../../executor/executor.ts";
import type { ReduceOp } from "../../reduce-op.ts";
import type { Context } from "../context.ts";
import { chunksOf, inStripes } from "../toolkit/pipeline.ts";
import { recvOthers, sendOwn } from "./all-gather-direct.ts";
import { directReduce } from "./reduce-scatter-direct.ts";

/** Every rank's `tensor` becomes the fold of all. The counts are the same on all ranks. */
export async function allReduceOwnerDirect(context: Context, tensor: Span, op: ReduceOp): Promise<void> {
  if (tensor.count === 0) return;
  const inputs = chunksOf(context, context.executor.prepare(op, tensor, context.size));
  const chunks = chunksOf(context, tensor);
  await inStripes(context, chunks, async (cut, slot) => {
    const segments = chunks.map(cut);
    const reduced = directReduce(context, segments[context.rank]!, inputs.map(cut), op, slot);
    // The results are asked for behind the pieces, before any can come. None can overwrite a piece that is still to be sent:
    // it is made of it.
    const gathered = recvOthers(context, segments, slot);
    await Promise.all([reduced.then(() => sendOwn(context, segments, slot)), gathered]);
  });
}
