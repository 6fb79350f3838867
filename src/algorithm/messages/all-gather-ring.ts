/**
 * All-gather on a ring. For large tensors.
 *
 * Every block walks once around the ring. Step k (0 … N − 2): rank r sends block r − k and receives block r − k − 1, so
 * afterwards it holds blocks r − k − 1 … r.
 *
 * N ranks, blocks of B bytes in m segments. Per rank: (N − 1)·m messages and (N − 1)·B bytes each way; no scratch.
 *
 * Thakur, Rabenseifner, Gropp: Optimization of Collective Communication Operations in MPICH. Int. J. High Perform.
 * Comput. Appl. 19 (2005). DOI 10.1177/1094342005051521
 */
import type { Span } from "../../executor/executor.ts";
import type { Context } from "../context.ts";
import { ringPeers, wrap } from "../toolkit/pattern.ts";
import { inStripes, sendRecv } from "../toolkit/pipeline.ts";

/**
 * Every rank's `outputs[r]` becomes rank r's `input`. The lengths of `outputs` are the same on all ranks;
 * `input` may be `outputs[rank]` itself.
 */
export function allGatherRing(context: Context, outputs: readonly Span[], input: Span): Promise<void> {
  context.executor.copy(outputs[context.rank]!, input);
  return inStripes(context, outputs, (cut, slot) => ringGather(context, outputs.map(cut), slot));
}

/** One stripe. This rank's own segment is in place; `complete`, if given, is a rank that has all segments already. */
export async function ringGather(
  context: Context,
  segments: readonly Span[],
  slot: number,
  complete?: number,
): Promise<void> {
  const { rank, size, executor } = context;
  const { next, previous } = ringPeers(rank, size);
  const nothing = executor.slice(segments[0]!, 0, 0);
  for (let step = 0; step < size - 1; step++) {
    const outgoing = next === complete ? nothing : segments[wrap(rank - step, size)]!;
    const incoming = rank === complete ? nothing : segments[wrap(rank - step - 1, size)]!;
    await sendRecv(context, next, outgoing, previous, incoming, slot);
  }
}
