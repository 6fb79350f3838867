/**
 * All-gather through areas: every rank puts its input, and gets the others' straight into its outputs.
 *
 * N ranks, results of S bytes: as many steps as the longest input takes segments; one input put and the others got per rank.
 */
import type { Span } from "../../executor/executor.ts";
import type { Context } from "../context.ts";
import { otherRanks } from "../toolkit/pattern.ts";
import { inSegments, perSegmentOf, show, take } from "./toolkit.ts";

/** Every rank's `outputs[r]` becomes rank r's `input`, which may be `outputs[rank]` itself. */
export function allGatherAreas(context: Context, outputs: readonly Span[], input: Span): Promise<void> {
  const { rank, size, executor } = context;
  return inSegments(
    context,
    outputs,
    perSegmentOf(context, input.dtype, Math.max(...outputs.map(({ count }) => count))),
    (cut) => show(context, 0, cut(input)),
    (cut) => {
      executor.copy(cut(outputs[rank]!), cut(input));
      for (const other of otherRanks(rank, size)) take(context, other, 0, cut(outputs[other]!));
    },
  );
}
