/**
 * Reduce-scatter in one pass over the common memory.
 *
 * Every rank shows where its N inputs lie; after the first step rank r folds everyone's input r, in rank order, into its
 * output. A last step tells that all have read.
 *
 * N ranks, inputs of S bytes together: two steps; S bytes read and S / N written per rank. Each element is finished by
 * one rank.
 */

import type { Span } from "../../executor/executor.ts";
import { changesInputs, type ReduceOp } from "../../reduce-op.ts";
import { after, type Late } from "../../support/late.ts";
import type { Context } from "../context.ts";
import { reduceScatterDirect } from "../messages/reduce-scatter-direct.ts";
import { withPrepared } from "../toolkit/pipeline.ts";
import { addressableOf, inPieces, inStages, withAddressable } from "./toolkit.ts";

/** Rank r's `output` becomes the fold of every rank's `inputs[r]`. `output` may be `inputs[rank]` itself. */
export function reduceScatterOnePass(context: Context, output: Span, inputs: readonly Span[], op: ReduceOp): Late {
  if (!changesInputs(op, output.dtype)) return foldShown(context, output, inputs, inputs, op);
  return withPrepared(context, inputs, op, async (prepared) => foldShown(context, output, inputs, prepared, op));
}

/** `prepared` is what `inputs` are to the fold. */
function foldShown(
  context: Context,
  output: Span,
  inputs: readonly Span[],
  prepared: readonly Span[],
  op: ReduceOp,
): Late {
  const region = addressableOf(context);
  const { executor } = region;
  const { rank, size } = context;
  return withAllAddressable(context, prepared, (shown) => {
    shown.forEach((input, r) => {
      region.offer(r, input);
    });
    return after(region.step(), () => {
      const operands = shown.map((_, r) =>
        r === rank ? shown[rank]! : region.offered(r, rank, output.dtype, output.count),
      );
      if (!everyRankHasRoom(context)) {
        const stage = (start: number, count: number) => {
          const cut = (spans: readonly Span[]) => spans.map((span) => executor.slice(span, start, count));
          const pieces = cut(inputs);
          return foldShown(
            context,
            executor.slice(output, start, count),
            pieces,
            prepared === inputs ? pieces : cut(prepared),
            op,
          );
        };
        return inStages(context, output, stage, () => reduceScatterDirect(context, output, inputs, op));
      }
      const folded = inPieces(context, output, (start, count) => {
        const pieces = operands.map((operand) => executor.slice(operand!, start, count));
        const piece = executor.slice(output, start, count);
        executor.reduceInto(op, [piece], pieces);
        executor.finish(op, piece, size);
      });
      return after(folded, () => region.step());
    });
  });
}

/** Do all inputs of all ranks lie in the common memory? Every rank comes to the same answer. */
function everyRankHasRoom(context: Context): boolean {
  const region = addressableOf(context);
  for (let owner = 0; owner < context.size; owner++) {
    for (let r = 0; r < context.size; r++) if (!region.offered(owner, r, "u8", 0)) return false;
  }
  return true;
}

/** {@link withAddressable} for several spans. */
function withAllAddressable(
  context: Context,
  spans: readonly Span[],
  body: (addressable: readonly Span[]) => Late,
): Late {
  const addressable: Span[] = [];
  const next = (): Late => {
    const span = spans[addressable.length];
    if (!span) return body(addressable);
    return withAddressable(context, span, (one) => {
      addressable.push(one);
      return next();
    });
  };
  return next();
}
