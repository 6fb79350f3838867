/**
 * All-reduce through slots of addressable memory: for small tensors, where only latency counts.
 *
 * Every rank copies its tensor into its slot; after one step every rank folds all N slots, in rank order, into its own
 * tensor. Slots are used by two calls in turn, so nobody waits until the others have read: who begins the next call but
 * one knows that all have come to the next, and so are done with this.
 *
 * N ranks, a tensor of S bytes: one step; S bytes written and N·S read per rank. Every rank computes every element.
 * Longer tensors than a slot take two steps for each part.
 */

import type { Span } from "../../executor/executor.ts";
import type { ReduceOp } from "../../reduce-op.ts";
import { after, type Late } from "../../support/late.ts";
import { bytesPerElement } from "../../types.ts";
import type { Context } from "../context.ts";
import { prepareInPlace } from "../toolkit/pipeline.ts";
import { addressableOf } from "./toolkit.ts";

/** Every rank's `tensor` becomes the fold of all. The counts are the same on all ranks. Undefined if nobody was waited for. */
export function allReduceSlots(context: Context, tensor: Span, op: ReduceOp): Late {
  const perSlot = Math.floor(addressableOf(context).slotBytes / bytesPerElement(tensor.dtype));
  return tensor.count <= perSlot ? reduceSlots(context, tensor, op) : inParts(context, tensor, op, perSlot);
}

async function inParts(context: Context, tensor: Span, op: ReduceOp, perSlot: number): Promise<void> {
  const region = addressableOf(context);
  const { executor } = region;
  for (let start = 0; start < tensor.count; start += perSlot) {
    await reduceSlots(context, executor.slice(tensor, start, Math.min(perSlot, tensor.count - start)), op);
    await region.step();
  }
}

function reduceSlots(context: Context, tensor: Span, op: ReduceOp): Late {
  const region = addressableOf(context);
  const { executor } = region;
  const { dtype, count } = tensor;
  if (count === 0) return region.step();
  const slots = region.slots(dtype, count);
  const mine = slots[context.rank]!;
  executor.copy(mine, tensor);
  prepareInPlace(context, mine, op);
  return after(region.step(), () => {
    executor.reduceInto(op, [tensor], slots);
    executor.finish(op, tensor, context.size);
  });
}
