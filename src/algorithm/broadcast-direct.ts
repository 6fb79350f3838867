/**
 * Broadcast straight from the root. For few ranks, and for those of one host, where what a rank relays is no cheaper than
 * what the root sends.
 *
 * The root sends the tensor to every other rank: one step.
 *
 * N ranks, a tensor of S bytes in m segments. The root sends (N − 1)·m messages and (N − 1)·S bytes; every other rank
 * receives m messages and S bytes. No scratch.
 */
import type { Span } from "../executor/executor.ts";
import { type Context, recv, send } from "./context.ts";
import { otherRanks } from "./pattern.ts";
import { inStripes } from "./pipeline.ts";

/** Every rank's `tensor` becomes the root's. The counts are the same on all ranks. */
export function broadcastDirect(context: Context, tensor: Span, root: number): Promise<void> {
  const { rank, size } = context;
  return inStripes(context, [tensor], async (cut, slot) => {
    const segment = cut(tensor);
    if (rank === root) await Promise.all(otherRanks(rank, size).map((peer) => send(context, peer, segment, slot)));
    else await recv(context, root, segment, slot);
  });
}
