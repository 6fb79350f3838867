/**
 * Reduce-scatter through areas: every rank puts its inputs for the others, and folds what they have put for it, in rank
 * order.
 *
 * N ranks, inputs of S bytes together: as many steps as the longest takes segments of A / N bytes, A being those of an area;
 * (N − 1)/N·S bytes put and got per rank. Each element is computed by one rank. Scratch: N segments at most.
 */
import type { Span } from "../../executor/executor.ts";
import type { ReduceOp } from "../../reduce-op.ts";
import type { Context } from "../context.ts";
import { otherRanks } from "../toolkit/pattern.ts";
import { foldTaken, inSegments, placesIn, showPrepared } from "./toolkit.ts";

/** Rank r's `output` becomes the fold of every rank's `inputs[r]`. `output` may be `inputs[rank]` itself. */
export function reduceScatterAreas(
  context: Context,
  output: Span,
  inputs: readonly Span[],
  op: ReduceOp,
): Promise<void> {
  const { rank, size } = context;
  const place = placesIn(context, output.dtype);
  return inSegments(
    context,
    inputs,
    place.count,
    (cut) => {
      for (const other of otherRanks(rank, size)) showPrepared(context, other * place.bytes, cut(inputs[other]!), op);
    },
    (cut) => foldTaken(context, cut(output), cut(inputs[rank]!), rank * place.bytes, op),
  );
}
