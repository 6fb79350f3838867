/**
 * All-reduce through areas, direct: for small tensors, where only latency counts.
 *
 * Every rank puts its tensor into its area; after one step every rank folds all of them, in rank order.
 *
 * N ranks, a tensor of S bytes, areas of A: ⌈S / A⌉ steps; S bytes put and (N − 1)·S got per rank. Every rank computes every
 * element. Scratch: N − 1 areas.
 */

import type { Span } from "../../executor/executor.ts";
import type { ReduceOp } from "../../reduce-op.ts";
import type { Late } from "../../support/late.ts";
import { bytesPerElement } from "../../types.ts";
import type { Context } from "../context.ts";
import { areasOf, foldTaken, showPrepared } from "./toolkit.ts";

/** Every rank's `tensor` becomes the fold of all. The counts are the same on all ranks. Undefined if nobody was waited for. */
export function allReduceAreasDirect(context: Context, tensor: Span, op: ReduceOp): Late {
  const perArea = Math.floor(areasOf(context).areaBytes / bytesPerElement(tensor.dtype));
  return tensor.count <= perArea ? reduceArea(context, tensor, op) : inParts(context, tensor, op, perArea);
}

async function inParts(context: Context, tensor: Span, op: ReduceOp, perArea: number): Promise<void> {
  const region = areasOf(context);
  const { executor } = region;
  for (let start = 0; start < tensor.count; start += perArea) {
    await reduceArea(context, executor.slice(tensor, start, Math.min(perArea, tensor.count - start)), op);
    await region.breathe();
  }
}

function reduceArea(context: Context, tensor: Span, op: ReduceOp): Late {
  showPrepared(context, 0, tensor, op);
  const late = areasOf(context).step();
  if (late) return late.then(() => foldTaken(context, tensor, tensor, 0, op));
  foldTaken(context, tensor, tensor, 0, op);
  return undefined;
}
