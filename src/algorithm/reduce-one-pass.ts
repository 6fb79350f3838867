/**
 * Reduce in one pass over shared memory.
 *
 * As all-reduce-one-pass.ts, but every rank writes its chunk of the result into root's tensor alone.
 *
 * N ranks, a tensor of S bytes: two steps; S bytes read and S / N written per rank. Each element is finished by one rank.
 */
import type { Span } from "../executor/executor.ts";
import { changesInputs, type ReduceOp } from "../reduce-op.ts";
import { type Context, sharedOf } from "./context.ts";
import { partition } from "./partition.ts";
import { prepareInPlace, withPrepared } from "./pipeline.ts";
import { reduceOwnerDirect } from "./reduce-scatter-gather.ts";
import { inPieces, offeredByAll, withShared } from "./shared.ts";

/** Root's `tensor` becomes the fold of all; the others stay. The counts are the same on all ranks. */
export function reduceOnePass(context: Context, tensor: Span, root: number, op: ReduceOp): Promise<void> {
  const { region, executor } = sharedOf(context);
  const { rank, size } = context;
  const run = (input: Span) =>
    withShared(context, input, async (mine) => {
      region.offer(0, mine);
      await region.step();
      const tensors = offeredByAll(context, 0, mine);
      if (!tensors) return reduceOwnerDirect(context, tensor, root, op);
      if (rank === root && changesInputs(op, tensor.dtype)) prepareInPlace(context, mine, op);
      if (changesInputs(op, tensor.dtype)) await region.step();
      const { start, count } = partition(tensor.count, size, tensor.dtype)[rank]!;
      await inPieces(context, executor.slice(mine, start, count), (from, length) => {
        const pieces = tensors.map((one) => executor.slice(one, start + from, length));
        executor.reduceInto(op, [pieces[root]!], pieces);
        executor.finish(op, pieces[root]!, size);
      });
      await region.step();
      if (rank === root && mine !== tensor) executor.copy(tensor, mine);
    });
  return rank === root ? run(tensor) : withPrepared(context, [tensor], op, ([input]) => run(input!));
}
