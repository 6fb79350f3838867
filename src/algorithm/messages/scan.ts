/**
 * Prefix reductions along a chain: the fold is in rank order, and segments overlap from rank to rank.
 *
 * Rank r receives the fold of ranks 0 … r − 1 from rank r − 1, folds its own input on its right, and sends the result to
 * rank r + 1. The inclusive scan keeps what it sent, the exclusive one what it received.
 *
 * N ranks, a tensor of S bytes in m segments. Every rank but the last sends m messages and S bytes, every rank but the
 * first receives as much; the last of m segments arrives after N + m − 2 steps. One segment of scratch per stripe.
 * Each result is computed by the rank that gets it.
 *
 * Sanders, Träff: Parallel Prefix (Scan) Algorithms for MPI ("linear pipeline"). EuroPVM/MPI 2006, LNCS 4192.
 * DOI 10.1007/11846802_15
 */
import type { Span } from "../../executor/executor.ts";
import type { ReduceOp } from "../../reduce-op.ts";
import { type Context, recv, send } from "../context.ts";
import { inStripes, withPrepared, withScratch } from "../toolkit/pipeline.ts";

/** What {@link scan} folds. */
export interface ScanOptions {
  /** Leaves out this rank's own input; rank 0's tensor is then not changed. */
  exclusive: boolean;
}

/** Rank r's `tensor` becomes the fold of those of ranks 0 … r, or 0 … r − 1. The counts are the same on all ranks. */
export function scan(context: Context, tensor: Span, op: ReduceOp, { exclusive }: ScanOptions): Promise<void> {
  const { rank, size, executor } = context;
  const last = rank === size - 1;
  return inStripes(context, [tensor], (cut, slot) => {
    const target = cut(tensor);
    return withPrepared(context, [target], op, async ([input]) => {
      if (rank === 0) {
        if (!last) await send(context, 1, input!, slot);
        if (exclusive) return;
        executor.copy(target, input!);
        executor.finish(op, target, size);
        return;
      }
      await withScratch(executor, target.dtype, [target.count], async ([below]) => {
        await recv(context, rank - 1, below!, slot);
        if (!last || !exclusive) executor.reduce(op, target, below!, input!);
        if (!last) await send(context, rank + 1, target, slot);
        if (exclusive) executor.copy(target, below!);
        executor.finish(op, target, size);
      });
    });
  });
}
