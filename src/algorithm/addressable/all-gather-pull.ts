/**
 * All-gather over the common memory: every rank copies the others' inputs from where they lie.
 *
 * N ranks, results of S bytes: two steps; (N − 1)/N·S bytes copied per rank.
 */

import type { Span } from "../../executor/executor.ts";
import { after, type Late } from "../../support/late.ts";
import type { Context } from "../context.ts";
import { allGatherDirect } from "../messages/all-gather-direct.ts";
import { addressableOf, copyInPieces, inStages, withAddressable } from "./toolkit.ts";

/** Every rank's `outputs[r]` becomes rank r's `input`, which may be `outputs[rank]` itself. */
export function allGatherPull(context: Context, outputs: readonly Span[], input: Span): Late {
  const region = addressableOf(context);
  const { executor } = region;
  const { rank, size } = context;
  return withAddressable(context, input, (mine) => {
    region.offer(0, mine);
    return after(region.step(), () => {
      const inputs = outputs.map(({ dtype, count }, r) => region.offered(r, 0, dtype, count));
      if (inputs.some((one) => !one)) {
        const stage = (start: number, count: number) =>
          allGatherPull(
            context,
            outputs.map((output) => executor.slice(output, start, count)),
            executor.slice(input, start, count),
          );
        return inStages(context, input, stage, () => allGatherDirect(context, outputs, input));
      }
      executor.copy(outputs[rank]!, input);
      const pulled = (r: number): Late => {
        if (r === size) return undefined;
        return after(r === rank ? undefined : copyInPieces(context, outputs[r]!, inputs[r]!), () => pulled(r + 1));
      };
      return after(pulled(0), () => region.step());
    });
  });
}
