/**
 * All-gather over shared memory: every rank copies the others' inputs from where they lie.
 *
 * N ranks, results of S bytes: two steps; (N − 1)/N·S bytes copied per rank.
 */
import type { Span } from "../executor/executor.ts";
import { allGatherDirect } from "./all-gather-direct.ts";
import { type Context, sharedOf } from "./context.ts";
import { inPieces, withShared } from "./shared.ts";

/** Every rank's `outputs[r]` becomes rank r's `input`, which may be `outputs[rank]` itself. */
export function allGatherPull(context: Context, outputs: readonly Span[], input: Span): Promise<void> {
  const { region, executor } = sharedOf(context);
  const { rank } = context;
  return withShared(context, input, async (mine) => {
    region.offer(0, mine);
    await region.step();
    const inputs = outputs.map(({ dtype, count }, r) => region.offered(r, 0, dtype, count));
    if (inputs.some((one) => !one)) return allGatherDirect(context, outputs, input);
    executor.copy(outputs[rank]!, input);
    for (const [r, output] of outputs.entries()) {
      if (r === rank) continue;
      await inPieces(context, output, (start, count) => {
        executor.copy(executor.slice(output, start, count), executor.slice(inputs[r]!, start, count));
      });
    }
    await region.step();
  });
}
