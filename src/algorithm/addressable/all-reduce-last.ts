/**
 * All-reduce by one rank, mostly the one that comes last: for ranks that outnumber their cores, where to wake one takes longer than to
 * fold a short tensor.
 *
 * Every rank shows where its tensor lies; the one that first sees that all have come folds all of them, in rank order, and writes
 * the result into all of them before the others go on.
 *
 * N ranks, a tensor of S bytes: one step; N·S bytes read and written by one rank, none by the others. Every element is
 * computed by one rank, whichever it is. AVG and PREMUL_SUM, whose inputs each rank has to scale itself, take the two steps
 * and more of one pass.
 */

import type { Span } from "../../executor/executor.ts";
import { changesInputs, type ReduceOp } from "../../reduce-op.ts";
import { after, type Late } from "../../support/late.ts";
import type { Context } from "../context.ts";
import { allReduceOnePass } from "./all-reduce-one-pass.ts";
import { addressableOf, offeredByAll, withAddressable } from "./toolkit.ts";

/** Every rank's `tensor` becomes the fold of all. The counts are the same on all ranks. */
export function allReduceLast(context: Context, tensor: Span, op: ReduceOp): Late {
  if (changesInputs(op, tensor.dtype)) return allReduceOnePass(context, tensor, op);
  const region = addressableOf(context);
  const { executor } = region;
  const { size } = context;
  return withAddressable(context, tensor, (mine) => {
    region.offer(0, mine);
    const passed = region.stepThrough(() => {
      const tensors = offeredByAll(context, 0, mine);
      if (!tensors) return;
      executor.reduceInto(op, tensors, tensors);
      for (const one of tensors) executor.finish(op, one, size);
    });
    return after(passed, () => {
      // Nobody shows anything else before all have seen that.
      if (!offeredByAll(context, 0, mine)) return after(region.step(), () => allReduceOnePass(context, tensor, op));
      if (mine !== tensor) executor.copy(tensor, mine);
      return undefined;
    });
  });
}
