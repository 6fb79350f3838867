/**
 * All-gather by direct exchange: every rank sends its block to every other. One step, for small blocks and few ranks.
 *
 * N ranks, blocks of B bytes in m segments. Per rank: (N − 1)·m messages and (N − 1)·B bytes each way; no scratch.
 *
 * Thakur, Rabenseifner, Gropp: Optimization of Collective Communication Operations in MPICH. Int. J. High Perform.
 * Comput. Appl. 19 (2005). DOI 10.1177/1094342005051521
 */
import type { Span } from "../../executor/executor.ts";
import { type Context, recv, send } from "../context.ts";
import { otherRanks } from "../toolkit/pattern.ts";
import { inStripes } from "../toolkit/pipeline.ts";

/**
 * Every rank's `outputs[r]` becomes rank r's `input`. The lengths of `outputs` are the same on all ranks;
 * `input` may be `outputs[rank]` itself.
 */
export function allGatherDirect(context: Context, outputs: readonly Span[], input: Span): Promise<void> {
  context.executor.copy(outputs[context.rank]!, input);
  return inStripes(context, outputs, async (cut, slot) => {
    await directGather(context, outputs.map(cut), slot);
  });
}

/** One stripe. This rank's own segment is in place. */
function directGather(context: Context, segments: readonly Span[], slot: number): Promise<unknown> {
  return Promise.all([sendOwn(context, segments, slot), recvOthers(context, segments, slot)]);
}

/** Sends this rank's segment to every other. */
export async function sendOwn(context: Context, segments: readonly Span[], slot: number): Promise<void> {
  const { rank, size } = context;
  const own = segments[rank]!;
  if (own.count > 0) await Promise.all(otherRanks(rank, size).map((peer) => send(context, peer, own, slot)));
}

/** Receives every other rank's segment. All are asked for when this returns. */
export async function recvOthers(context: Context, segments: readonly Span[], slot: number): Promise<void> {
  const given = otherRanks(context.rank, context.size).filter((peer) => segments[peer]!.count > 0);
  await Promise.all(given.map((peer) => recv(context, peer, segments[peer]!, slot)));
}
