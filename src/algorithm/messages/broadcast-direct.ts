/**
 * Broadcast straight from the root. For few ranks, and for those of one host, where what a rank relays is no cheaper than
 * what the root sends.
 *
 * The root sends the tensor to every other rank: one step, a scatter of blocks that are all the same.
 *
 * N ranks, a tensor of S bytes in m = ⌊S / segmentBytes⌋ + 1 messages. The root sends (N − 1)·m messages and (N − 1)·S
 * bytes; every other rank receives m messages and S bytes. No scratch.
 */
import type { Span } from "../../executor/executor.ts";
import type { Context } from "../context.ts";
import { scatter } from "./scatter.ts";

/** Every rank's `tensor` becomes the root's. The counts are the same on all ranks. */
export async function broadcastDirect(context: Context, tensor: Span, root: number): Promise<void> {
  const blocks = Array.from({ length: context.size }, () => tensor);
  if (tensor.count > 0) await scatter(context, tensor, blocks, root);
}
