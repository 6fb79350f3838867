/**
 * Broadcast over the common memory: every rank copies root's tensor from where it lies.
 *
 * N ranks, a tensor of S bytes: two steps; S bytes copied per rank that is not root.
 */

import type { Span } from "../../executor/executor.ts";
import { after, type Late } from "../../support/late.ts";
import type { Context } from "../context.ts";
import { broadcastBinomial } from "../messages/broadcast-binomial.ts";
import { addressableOf, copyInPieces, inStages, withAddressable } from "./toolkit.ts";

/** Every rank's `tensor` becomes root's. The counts are the same on all ranks. */
export function broadcastPull(context: Context, tensor: Span, root: number): Late {
  const region = addressableOf(context);
  const run = (mine: Span): Late => {
    if (context.rank === root) region.offer(0, mine);
    return after(region.step(), () => {
      const source = region.offered(root, 0, tensor.dtype, tensor.count);
      if (!source) {
        const stage = (start: number, count: number) =>
          broadcastPull(context, region.executor.slice(tensor, start, count), root);
        return inStages(context, tensor, stage, () => broadcastBinomial(context, tensor, root));
      }
      const pulled = context.rank === root ? undefined : copyInPieces(context, tensor, source);
      return after(pulled, () => region.step());
    });
  };
  return context.rank === root ? withAddressable(context, tensor, run) : run(tensor);
}
