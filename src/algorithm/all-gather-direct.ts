/**
 * All-gather by direct exchange: every rank sends its block to every other. One step, for small blocks and few ranks.
 *
 * N ranks, blocks of B bytes in m segments. Per rank: (N − 1)·m messages and (N − 1)·B bytes each way; no scratch.
 *
 * Thakur, Rabenseifner, Gropp: Optimization of Collective Communication Operations in MPICH. Int. J. High Perform.
 * Comput. Appl. 19 (2005). DOI 10.1177/1094342005051521
 */
import type { Span } from "../executor/executor.ts";
import { type Context, recv, send } from "./context.ts";
import { otherRanks } from "./pattern.ts";
import { inStripes } from "./pipeline.ts";

/**
 * Every rank's `outputs[r]` becomes rank r's `input`. The lengths of `outputs` are the same on all ranks;
 * `input` may be `outputs[rank]` itself.
 */
export function allGatherDirect(context: Context, outputs: readonly Span[], input: Span): Promise<void> {
  context.executor.copy(outputs[context.rank]!, input);
  return inStripes(context, outputs, (cut, slot) => directGather(context, outputs.map(cut), slot));
}

/** One stripe. This rank's own segment is in place. */
export async function directGather(context: Context, segments: readonly Span[], slot: number): Promise<void> {
  const { rank, size } = context;
  const own = segments[rank]!;
  const others = otherRanks(rank, size);
  await Promise.all([
    ...others.map((peer) => own.count > 0 && send(context, peer, own, slot)),
    ...others.map((peer) => segments[peer]!.count > 0 && recv(context, peer, segments[peer]!, slot)),
  ]);
}
