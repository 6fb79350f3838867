/**
 * Broadcast through areas: root puts one segment while the others get the one before.
 *
 * N ranks, a tensor of S bytes: as many steps as it takes segments; S bytes put by root, and got by each of the others.
 */
import type { Span } from "../../executor/executor.ts";
import type { Context } from "../context.ts";
import { inSegments, perSegmentOf, show, take } from "./toolkit.ts";

/** Every rank's `tensor` becomes root's. The counts are the same on all ranks. */
export function broadcastAreas(context: Context, tensor: Span, root: number): Promise<void> {
  const isRoot = context.rank === root;
  return inSegments(
    context,
    [tensor],
    perSegmentOf(context, tensor.dtype, tensor.count),
    (cut) => isRoot && show(context, 0, cut(tensor)),
    (cut) => !isRoot && take(context, root, 0, cut(tensor)),
  );
}
