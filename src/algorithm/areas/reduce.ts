/**
 * Reduce through areas.
 *
 * As all-reduce.ts, but only root gets the results.
 *
 * N ranks, a tensor of S bytes in K = ⌈S / A⌉ stripes, A being the bytes of an area: K + 1 steps. Root puts (N − 1)/N·S bytes
 * and gets 2(N − 1)/N·S, the others put S and get (N − 1)/N·S. Each element is computed by one rank.
 */
import type { Span } from "../../executor/executor.ts";
import type { ReduceOp } from "../../reduce-op.ts";
import type { Context } from "../context.ts";
import { foldInAreas } from "./all-reduce.ts";

/** Root's `tensor` becomes the fold of all; the others stay. The counts are the same on all ranks. */
export function reduceAreas(context: Context, tensor: Span, root: number, op: ReduceOp): Promise<void> {
  return foldInAreas(context, tensor, op, root);
}
