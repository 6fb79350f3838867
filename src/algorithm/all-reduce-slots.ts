/**
 * All-reduce through slots of a shared region: for small tensors, where only latency counts.
 *
 * Every rank copies its tensor into its slot; after one step every rank folds all N slots, in rank order, into its own
 * tensor. Slots are used by two calls in turn, so nobody waits until the others have read: who begins the next call but
 * one knows that all have come to the next, and so are done with this.
 *
 * N ranks, a tensor of S bytes: one step; S bytes written and N·S read per rank. Every rank computes every element.
 * Longer tensors than a slot take two steps for each part.
 */
import type { Span } from "../executor/executor.ts";
import type { ReduceOp } from "../reduce-op.ts";
import { bytesPerElement } from "../types.ts";
import type { Context, Shared } from "./context.ts";
import { sharedOf } from "./shared.ts";

/** Every rank's `tensor` becomes the fold of all. The counts are the same on all ranks. */
export async function allReduceSlots(context: Context, tensor: Span, op: ReduceOp): Promise<void> {
  const shared = sharedOf(context);
  const { region, executor } = shared;
  const perSlot = Math.floor(region.slotBytes / bytesPerElement(tensor.dtype));
  if (tensor.count <= perSlot) return reduceSlots(context, shared, tensor, op);
  for (let start = 0; start < tensor.count; start += perSlot) {
    const part = executor.slice(tensor, start, Math.min(perSlot, tensor.count - start));
    await reduceSlots(context, shared, part, op);
    await region.step();
  }
}

async function reduceSlots(
  { rank, size }: Context,
  { region, executor }: Shared,
  tensor: Span,
  op: ReduceOp,
): Promise<void> {
  const { dtype, count } = tensor;
  const slots: Span[] = [];
  for (let r = 0; r < size; r++) slots.push(region.slot(r, dtype, count));
  if (count > 0) {
    executor.copy(slots[rank]!, tensor);
    executor.prepare(op, slots[rank]!, size);
  }
  const late = region.step();
  if (late) await late;
  if (count === 0) return;
  executor.reduceInto(op, [tensor], slots);
  executor.finish(op, tensor, size);
}
