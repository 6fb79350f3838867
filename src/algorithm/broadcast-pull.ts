/**
 * Broadcast over shared memory: every rank copies root's tensor from where it lies.
 *
 * N ranks, a tensor of S bytes: two steps; S bytes copied per rank that is not root.
 */
import type { Span } from "../executor/executor.ts";
import { broadcastBinomial } from "./broadcast-binomial.ts";
import { type Context, sharedOf } from "./context.ts";
import { inPieces, withShared } from "./shared.ts";

/** Every rank's `tensor` becomes root's. The counts are the same on all ranks. */
export function broadcastPull(context: Context, tensor: Span, root: number): Promise<void> {
  const { region, executor } = sharedOf(context);
  const run = async (mine: Span) => {
    if (context.rank === root) region.offer(0, mine);
    await region.step();
    const source = region.offered(root, 0, tensor.dtype, tensor.count);
    if (!source) return broadcastBinomial(context, tensor, root);
    if (context.rank !== root) {
      await inPieces(context, tensor, (start, count) => {
        executor.copy(executor.slice(tensor, start, count), executor.slice(source, start, count));
      });
    }
    await region.step();
  };
  return context.rank === root ? withShared(context, tensor, run) : run(tensor);
}
