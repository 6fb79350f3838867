/**
 * All-reduce through areas: the one for processes that share files.
 *
 * The tensor is cut into stripes, and each of them into N shares. Before a step every rank puts the others' shares of one
 * stripe, and its own share of the stripe before, folded. After it, it gets the others' results of that stripe, straight
 * into its tensor, and what the others have put of its own share of this one, and folds it in rank order. So one step per
 * stripe is enough.
 *
 * N ranks, a tensor of S bytes in K = ⌈S / A⌉ stripes, A being the bytes of an area: K + 1 steps; S bytes put and
 * 2(N − 1)/N·S got per rank. Each element is computed by one rank. Scratch: N − 1 shares, A at most.
 */
import type { Span } from "../../executor/executor.ts";
import type { ReduceOp } from "../../reduce-op.ts";
import type { Context } from "../context.ts";
import { partition } from "../toolkit/partition.ts";
import { otherRanks } from "../toolkit/pattern.ts";
import { chunksOf } from "../toolkit/pipeline.ts";
import { areasOf, foldTaken, placesIn, show, showPrepared, take } from "./toolkit.ts";

/** Every rank's `tensor` becomes the fold of all. The counts are the same on all ranks. */
export function allReduceAreas(context: Context, tensor: Span, op: ReduceOp): Promise<void> {
  return foldInAreas(context, tensor, op, null);
}

/** The same where only root's tensor, or with null everyone's, becomes the fold; the others stay. */
export async function foldInAreas(context: Context, tensor: Span, op: ReduceOp, root: number | null): Promise<void> {
  const region = areasOf(context);
  const { executor } = region;
  const { rank, size } = context;
  const { dtype, count } = tensor;
  const place = placesIn(context, dtype);
  const stripes = partition(count, Math.ceil(count / (place.count * size)), dtype).map((stripe) =>
    chunksOf(context, executor.slice(tensor, stripe.start, stripe.count)),
  );
  const others = otherRanks(rank, size);
  const isWritten = root === null || root === rank;
  const kept = isWritten ? null : executor.scratch(dtype, Math.min(count, place.count));
  const resultOf = (share: Span) => (kept ? executor.slice(kept, 0, share.count) : share);

  for (let k = 0; k <= stripes.length; k++) {
    const shares = stripes[k];
    const finished = stripes[k - 1];
    if (shares) for (const other of others) showPrepared(context, other * place.bytes, shares[other]!, op);
    if (finished && rank !== root) show(context, rank * place.bytes, resultOf(finished[rank]!));
    const late = region.step();
    if (late) await late;
    if (finished && isWritten) for (const other of others) take(context, other, other * place.bytes, finished[other]!);
    if (shares) foldTaken(context, resultOf(shares[rank]!), shares[rank]!, rank * place.bytes, op);
    const pause = shares && region.breathe();
    if (pause) await pause;
  }
  if (kept) executor.release(kept);
}
