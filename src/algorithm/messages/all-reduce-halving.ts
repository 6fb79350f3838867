/**
 * All-reduce by recursive halving and doubling (Rabenseifner's). For medium tensors and many ranks: the ring's bytes in
 * 2·log₂ P steps. For commutative operations.
 *
 * P is the largest power of two not above N; the N − P ranks too many hand their tensors to a neighbour first and get
 * the result from it last, as in all-reduce-doubling.ts. The tensor is cut into P chunks. Phase 1, at distance
 * d = P/2, … 2, 1: of the 2d chunks that a rank still reduces it gives the half that its partner keeps, and folds what
 * it gets for its own; at the end it holds the result of one chunk. Phase 2, at distance d = 1, 2, … P/2: it trades the
 * d chunks it has for its partner's d.
 *
 * N ranks, a tensor of S bytes. A rank that takes part trades runs of S/P·d bytes, for each d once per phase:
 * 2(P − 1)/P·S bytes each way; one that also speaks for its neighbour S more each way, one that sits out S each way. A
 * run of b bytes is ⌊b / segmentBytes⌋ + 1 messages. One segment of scratch per segment in flight. Each element is
 * finished by one rank, its owner.
 *
 * Thakur, Rabenseifner, Gropp: Optimization of Collective Communication Operations in MPICH. Int. J. High Perform.
 * Comput. Appl. 19 (2005). DOI 10.1177/1094342005051521
 */
import type { Span } from "../../executor/executor.ts";
import type { ReduceOp } from "../../reduce-op.ts";
import type { Context } from "../context.ts";
import { partition } from "../toolkit/partition.ts";
import { doublingPeers } from "../toolkit/pattern.ts";
import { prepareInPlace, recvReduceSpan, recvSpan, sendSpan } from "../toolkit/pipeline.ts";

/** Every rank's `tensor` becomes the fold of all. The counts are the same on all ranks. */
export async function allReduceHalving(context: Context, tensor: Span, op: ReduceOp): Promise<void> {
  if (tensor.count === 0) return;
  const { rank, size, executor } = context;
  const { place, proxy, ward, partners } = doublingPeers(rank, size);
  prepareInPlace(context, tensor, op);
  if (proxy !== null) {
    await sendSpan(context, proxy, tensor);
    await recvSpan(context, proxy, tensor);
    return;
  }
  if (ward !== null) await recvReduceSpan(context, ward, tensor, op);

  const steps = partners.map((partner, step) => ({ partner, distance: 2 ** step }));
  const chunks = partition(tensor.count, 2 ** partners.length, tensor.dtype);
  /** The run of `length` chunks, aligned to `length`, that has chunk `at` in it. */
  const run = (at: number, length: number): Span => {
    const first = at - (at % length);
    const { start, count } = chunks[first + length - 1]!;
    return executor.slice(tensor, chunks[first]!.start, start + count - chunks[first]!.start);
  };
  for (const { partner, distance } of steps.toReversed()) {
    await Promise.all([
      sendSpan(context, partner, run(place ^ distance, distance)),
      recvReduceSpan(context, partner, run(place, distance), op),
    ]);
  }
  const own = run(place, 1);
  if (own.count > 0) executor.finish(op, own, size);
  for (const { partner, distance } of steps) {
    await Promise.all([
      sendSpan(context, partner, run(place, distance)),
      recvSpan(context, partner, run(place ^ distance, distance)),
    ]);
  }
  if (ward !== null) await sendSpan(context, ward, tensor);
}
