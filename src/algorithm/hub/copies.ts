/**
 * Collectives in which the hub passes on what one rank sends to all that want it, or folds what all send for one: for
 * groups whose ranks reach each other through it. Whatever the number of ranks, what a rank has goes up once.
 *
 * N ranks, a tensor or block of S bytes in m segments; every rank has a message each way per segment, most of them empty.
 * broadcast: the root sends S, every other rank receives S. reduce: every rank sends S, the root receives S, folded in
 * rank order. all-gather: every rank sends its block and receives N − 1 of them. barrier: one empty message each way.
 */
import type { Span } from "../../executor/executor.ts";
import type { ReduceOp } from "../../reduce-op.ts";
import { type Context, combine } from "../context.ts";
import { inStripes, withPrepared } from "../toolkit/pipeline.ts";

/** Every rank's `tensor` becomes the root's. The counts are the same on all ranks. */
export function broadcastHub(context: Context, tensor: Span, root: number): Promise<void> {
  const isRoot = context.rank === root;
  return inStripes(context, [tensor], (cut, slot) => {
    const segment = cut(tensor);
    return combine(context, slot, isRoot ? segment : null, isRoot ? null : segment);
  });
}

/** The root's `tensor` becomes the fold of all; the others' are not changed. The counts are the same on all ranks. */
export async function reduceHub(context: Context, tensor: Span, root: number, op: ReduceOp): Promise<void> {
  if (tensor.count === 0) return;
  const { rank, size, executor } = context;
  if (rank !== root) {
    await inStripes(context, [tensor], (cut, slot) =>
      withPrepared(context, [cut(tensor)], op, ([input]) => combine(context, slot, input!, null)),
    );
    return;
  }
  const prepared = executor.prepare(op, tensor, size);
  await inStripes(context, [tensor], async (cut, slot) => {
    const segment = cut(tensor);
    await combine(context, slot, cut(prepared), segment);
    executor.finish(op, segment, size);
  });
}

/** Every rank's `outputs[r]` becomes rank r's `input`, which may be `outputs[rank]` itself. */
export function allGatherHub(context: Context, outputs: readonly Span[], input: Span): Promise<void> {
  const { rank, size, executor } = context;
  executor.copy(outputs[rank]!, input);
  return inStripes(context, outputs, async (cut, stripe) => {
    await Promise.all(
      outputs.map(async (output, owner) => {
        const segment = cut(output);
        if (segment.count === 0) return undefined;
        const slot = stripe * size + owner;
        return owner === rank ? combine(context, slot, segment, null) : combine(context, slot, null, segment);
      }),
    );
  });
}

/** Resolves when every rank has called it. */
export function barrierHub(context: Context): Promise<void> {
  return combine(context, 0, null, null);
}
