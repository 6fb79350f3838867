/**
 * All-reduce in one pass over the common memory, for all but short tensors.
 *
 * The tensor is cut into N chunks. After the first step every rank knows where all tensors lie; rank r reads chunk r of
 * all of them, folds it in rank order, and writes the result into all of them. A last step tells that all chunks are done.
 *
 * N ranks, a tensor of S bytes: two steps; S bytes read and S written per rank, which is the least there can be: each
 * byte of each tensor passes the caches once each way. Each element is finished by one rank. AVG and PREMUL_SUM take a step
 * and a pass more, to scale their inputs.
 */

import type { Span } from "../../executor/executor.ts";
import { changesInputs, type ReduceOp } from "../../reduce-op.ts";
import { after, type Late } from "../../support/late.ts";
import type { Context } from "../context.ts";
import { allReduceOwnerDirect } from "../messages/all-reduce-owner-direct.ts";
import { chunkOf } from "../toolkit/partition.ts";
import { prepareInPlace } from "../toolkit/pipeline.ts";
import { addressableOf, inPieces, inStages, offeredByAll, withAddressable } from "./toolkit.ts";

/** Every rank's `tensor` becomes the fold of all. The counts are the same on all ranks. */
export function allReduceOnePass(context: Context, tensor: Span, op: ReduceOp): Late {
  const region = addressableOf(context);
  const { executor } = region;
  return withAddressable(context, tensor, (mine) => {
    region.offer(0, mine);
    return after(region.step(), () => {
      const tensors = offeredByAll(context, 0, mine);
      if (!tensors) {
        const stage = (start: number, count: number) =>
          allReduceOnePass(context, executor.slice(tensor, start, count), op);
        return inStages(context, tensor, stage, () => allReduceOwnerDirect(context, tensor, op));
      }
      return after(prepared(context, mine, op), () =>
        after(foldOwn(context, tensors, op), () =>
          after(region.step(), () => {
            if (mine !== tensor) executor.copy(tensor, mine);
            return undefined;
          }),
        ),
      );
    });
  });
}

/** Every rank's input is what `op` makes of it. */
function prepared(context: Context, mine: Span, op: ReduceOp): Late {
  if (!changesInputs(op, mine.dtype)) return undefined;
  prepareInPlace(context, mine, op);
  return addressableOf(context).step();
}

/** This rank's chunk of all tensors becomes its fold. */
function foldOwn(context: Context, tensors: readonly Span[], op: ReduceOp): Late {
  const { executor } = addressableOf(context);
  const { rank, size } = context;
  const { dtype, count } = tensors[rank]!;
  const chunk = chunkOf(count, size, rank, dtype);
  const own = tensors.map((one) => executor.slice(one, chunk.start, chunk.count));
  return inPieces(context, own[rank]!, (start, length) => {
    const pieces = length === chunk.count ? own : own.map((one) => executor.slice(one, start, length));
    executor.reduceInto(op, pieces, pieces);
    for (const piece of pieces) executor.finish(op, piece, size);
  });
}
