/**
 * All-reduce in one pass over shared memory: the one for threads.
 *
 * The tensor is cut into N chunks. After the first step every rank knows where all tensors lie; rank r reads chunk r of
 * all of them, folds it in rank order, and writes the result into all of them. A last step tells that all chunks are done.
 *
 * N ranks, a tensor of S bytes: two steps; S bytes read and S written per rank, which is the least there can be: each
 * byte of each tensor passes the caches once each way. Each element is finished by one rank. AVG and PREMUL_SUM take a step
 * and a pass more, to scale their inputs.
 */
import type { Span } from "../executor/executor.ts";
import { changesInputs, type ReduceOp } from "../reduce-op.ts";
import { allReduceOwnerDirect } from "./all-reduce-owner-direct.ts";
import { type Context, sharedOf } from "./context.ts";
import { partition } from "./partition.ts";
import { prepareInPlace } from "./pipeline.ts";
import { inPieces, offeredByAll, withShared } from "./shared.ts";

/** Every rank's `tensor` becomes the fold of all. The counts are the same on all ranks. */
export function allReduceOnePass(context: Context, tensor: Span, op: ReduceOp): Promise<void> {
  const { region, executor } = sharedOf(context);
  return withShared(context, tensor, async (mine) => {
    region.offer(0, mine);
    await region.step();
    const tensors = offeredByAll(context, 0, mine);
    if (!tensors) return allReduceOwnerDirect(context, tensor, op);
    if (changesInputs(op, tensor.dtype)) {
      prepareInPlace(context, mine, op);
      await region.step();
    }
    const { start, count } = partition(tensor.count, context.size, tensor.dtype)[context.rank]!;
    await inPieces(context, executor.slice(mine, start, count), (from, length) => {
      const pieces = tensors.map((one) => executor.slice(one, start + from, length));
      executor.reduceInto(op, pieces, pieces);
      for (const piece of pieces) executor.finish(op, piece, context.size);
    });
    await region.step();
    if (mine !== tensor) executor.copy(tensor, mine);
  });
}
