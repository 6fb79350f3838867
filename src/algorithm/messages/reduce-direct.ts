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
import type { Span } from "../../executor/executor.ts";
import type { ReduceOp } from "../../reduce-op.ts";
import { type Context, send } from "../context.ts";
import { inStripes, withPrepared } from "../toolkit/pipeline.ts";
import { foldOfAll } from "./all-reduce-direct.ts";

/** The root's `tensor` becomes the fold of all; the others' are not changed. The counts are the same on all ranks. */
export async function reduceDirect(context: Context, tensor: Span, root: number, op: ReduceOp): Promise<void> {
  if (context.rank === root) return foldOfAll(context, tensor, op, []);
  if (tensor.count === 0) return;
  await inStripes(context, [tensor], (cut, slot) =>
    withPrepared(context, [cut(tensor)], op, ([input]) => send(context, root, input!, slot)),
  );
}
