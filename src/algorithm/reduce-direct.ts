/**
 * Reduce in one step: every rank sends its whole tensor to the root, which folds. For small tensors and few ranks, and,
 * because the fold is in rank order, for deterministic mode and non-commutative operations.
 *
 * After the step the root holds all N inputs and folds them, ((x0 op x1) op x2) ….
 *
 * N ranks, a tensor of S bytes in m segments. The root receives (N − 1)·m messages and (N − 1)·S bytes into N − 1
 * segments of scratch per stripe; every other rank sends m messages and S bytes. Each element is finished by the root.
 *
 * Thakur, Rabenseifner, Gropp: Optimization of Collective Communication Operations in MPICH. Int. J. High Perform.
 * Comput. Appl. 19 (2005). DOI 10.1177/1094342005051521
 */
import type { Span } from "../executor/executor.ts";
import type { ReduceOp } from "../reduce-op.ts";
import { type Context, recv, send } from "./context.ts";
import { otherRanks } from "./pattern.ts";
import { inStripes, withPrepared, withScratch } from "./pipeline.ts";

/** The root's `tensor` becomes the fold of all; the others' are not changed. The counts are the same on all ranks. */
export async function reduceDirect(context: Context, tensor: Span, root: number, op: ReduceOp): Promise<void> {
  if (tensor.count === 0) return;
  const { rank, size, executor } = context;
  if (rank !== root) {
    await inStripes(context, [tensor], (cut, slot) =>
      withPrepared(context, [cut(tensor)], op, ([input]) => send(context, root, input!, slot)),
    );
    return;
  }

  const others = otherRanks(rank, size);
  const prepared = executor.prepare(op, tensor, size);
  await inStripes(context, [tensor], async (cut, slot) => {
    const [mine, input] = [cut(tensor), cut(prepared)];
    const counts = others.map(() => mine.count);
    await withScratch(executor, tensor.dtype, counts, async (scratch) => {
      const operands: Span[] = Array.from({ length: size }, () => input);
      others.forEach((peer, i) => {
        operands[peer] = scratch[i]!;
      });
      await Promise.all(others.map((peer) => recv(context, peer, operands[peer]!, slot)));
      executor.reduceMany(op, mine, operands);
    });
    executor.finish(op, mine, size);
  });
}
