/**
 * All-to-all, pairwise: in step i (1 … N − 1) rank r sends to rank r + i and receives from rank r − i, so no rank is
 * the target of two at the same step. Some sends and some receives are in flight at once, and neither waits for the other.
 *
 * N ranks, a piece of b bytes in ⌊b / segmentBytes⌋ + 1 messages (an empty piece is one empty message, so that ranks
 * that disagree on a length see it). Per rank: N − 1 pieces each way; no scratch.
 *
 * Thakur, Rabenseifner, Gropp: Optimization of Collective Communication Operations in MPICH. Int. J. High Perform.
 * Comput. Appl. 19 (2005). DOI 10.1177/1094342005051521
 */
import type { Span } from "../../executor/executor.ts";
import type { Context } from "../context.ts";
import { wrap } from "../toolkit/pattern.ts";
import { pipelined, recvSpan, sendSpan } from "../toolkit/pipeline.ts";

/** Rank r's `outputs[q]` becomes rank q's `inputs[r]`; lengths may differ from pair to pair. Inputs and outputs are disjoint. */
export async function allToAll(context: Context, outputs: readonly Span[], inputs: readonly Span[]): Promise<void> {
  const { rank, size, executor } = context;
  const eachStep = (sign: number, move: (peer: number) => Promise<void>) =>
    pipelined(context, size - 1, (step) => move(wrap(rank + sign * (step + 1), size)));
  const moved = Promise.all([
    eachStep(-1, (from) => recvSpan(context, from, outputs[from]!)),
    eachStep(1, (to) => sendSpan(context, to, inputs[to]!)),
  ]);
  // While the first messages travel.
  executor.copy(outputs[rank]!, inputs[rank]!);
  await moved;
}
