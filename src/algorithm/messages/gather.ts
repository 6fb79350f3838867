/**
 * Gather, linear: every rank sends its block to the root, whose link carries every byte whatever the algorithm.
 *
 * N ranks, rank r's block of b bytes in ⌊b / segmentBytes⌋ + 1 messages (an empty block is one empty message, so that
 * ranks that disagree on a length see it). The root receives every block but its own; the others send one. No scratch.
 */
import type { Span } from "../../executor/executor.ts";
import type { Context } from "../context.ts";
import { otherRanks } from "../toolkit/pattern.ts";
import { recvSpan, sendSpan } from "../toolkit/pipeline.ts";

/**
 * The root's `outputs[r]` becomes rank r's `input`; lengths may differ from rank to rank. `outputs` is null elsewhere.
 * On the root `input` may be `outputs[root]` itself.
 */
export async function gather(
  context: Context,
  outputs: readonly Span[] | null,
  input: Span,
  root: number,
): Promise<void> {
  const { rank, size, executor } = context;
  if (rank !== root || !outputs) return sendSpan(context, root, input);
  executor.copy(outputs[rank]!, input);
  await Promise.all(otherRanks(rank, size).map((peer) => recvSpan(context, peer, outputs[peer]!)));
}
