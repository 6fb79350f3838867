/**
 * Scatter, linear: the root sends every rank its block; its link carries every byte whatever the algorithm.
 *
 * N ranks, rank r's block of b bytes in ⌊b / segmentBytes⌋ + 1 messages (an empty block is one empty message, so that
 * ranks that disagree on a length see it). The root sends every block but its own; the others receive one. No scratch.
 */
import type { Span } from "../../executor/executor.ts";
import type { Context } from "../context.ts";
import { otherRanks } from "../toolkit/pattern.ts";
import { recvSpan, sendSpan } from "../toolkit/pipeline.ts";

/**
 * Rank r's `output` becomes the root's `inputs[r]`; lengths may differ from rank to rank. What `inputs` are elsewhere does not matter.
 * On the root `output` may be `inputs[root]` itself.
 */
export async function scatter(
  context: Context,
  output: Span,
  inputs: readonly Span[] | null,
  root: number,
): Promise<void> {
  const { rank, size, executor } = context;
  if (rank !== root || !inputs) return recvSpan(context, root, output);
  executor.copy(output, inputs[rank]!);
  await Promise.all(otherRanks(rank, size).map((peer) => sendSpan(context, peer, inputs[peer]!)));
}
