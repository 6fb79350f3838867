/**
 * Reduce in one pass over the common memory.
 *
 * As all-reduce-one-pass.ts, but every rank writes its chunk of the result into root's tensor alone.
 *
 * N ranks, a tensor of S bytes: two steps; S bytes read and S / N written per rank. Each element is finished by one rank.
 */

import type { Span } from "../../executor/executor.ts";
import { changesInputs, type ReduceOp } from "../../reduce-op.ts";
import { after, type Late } from "../../support/late.ts";
import type { Context } from "../context.ts";
import { reduceOwnerDirect } from "../messages/reduce-scatter-gather.ts";
import { chunkOf } from "../toolkit/partition.ts";
import { prepareInPlace, withPrepared } from "../toolkit/pipeline.ts";
import { addressableOf, inPieces, inStages, offeredByAll, withAddressable } from "./toolkit.ts";

/** Root's `tensor` becomes the fold of all; the others stay. The counts are the same on all ranks. */
export function reduceOnePass(context: Context, tensor: Span, root: number, op: ReduceOp): Late {
  const changes = changesInputs(op, tensor.dtype);
  if (context.rank === root || !changes) return reduceShown(context, tensor, tensor, root, op);
  return withPrepared(context, [tensor], op, async ([input]) => reduceShown(context, tensor, input!, root, op));
}

/** `input` is what this rank's `tensor` is to the fold; root's is made so here. */
function reduceShown(context: Context, tensor: Span, input: Span, root: number, op: ReduceOp): Late {
  const region = addressableOf(context);
  const { executor } = region;
  const { rank, size } = context;
  return withAddressable(context, input, (mine) => {
    region.offer(0, mine);
    return after(region.step(), () => {
      const tensors = offeredByAll(context, 0, mine);
      if (!tensors) {
        const stage = (start: number, count: number) => {
          const piece = executor.slice(tensor, start, count);
          return reduceShown(context, piece, input === tensor ? piece : executor.slice(input, start, count), root, op);
        };
        return inStages(context, tensor, stage, () => reduceOwnerDirect(context, tensor, root, op));
      }
      const changes = changesInputs(op, tensor.dtype);
      if (rank === root && changes) prepareInPlace(context, mine, op);
      return after(changes ? region.step() : undefined, () => {
        const { start, count } = chunkOf(tensor.count, size, rank, tensor.dtype);
        const folded = inPieces(context, executor.slice(mine, start, count), (from, length) => {
          const pieces = tensors.map((one) => executor.slice(one, start + from, length));
          executor.reduceInto(op, [pieces[root]!], pieces);
          executor.finish(op, pieces[root]!, size);
        });
        return after(folded, () =>
          after(region.step(), () => {
            if (rank === root && mine !== tensor) executor.copy(tensor, mine);
            return undefined;
          }),
        );
      });
    });
  });
}
