/**
 * Reduce-scatter on a ring. The bandwidth-optimal one, for large tensors and commutative operations.
 *
 * A partial result of every chunk walks once around the ring and ends with its owner. Step k (0 … N − 2): rank r sends
 * the partial result of chunk r − k − 1, which holds the inputs of ranks r − k … r, and receives that of chunk
 * r − k − 2, to which it adds its own input. After the last step it holds chunk r with every rank's input in it.
 *
 * N ranks, chunks of B bytes in m segments. Per rank: (N − 1)·m messages and (N − 1)·B bytes each way; two segments of
 * scratch per stripe. Each element is finished by one rank, its owner.
 *
 * Patarasuk, Yuan: Bandwidth optimal all-reduce algorithms for clusters of workstations. J. Parallel Distrib. Comput.
 * 69 (2009). DOI 10.1016/j.jpdc.2008.09.002
 */
import type { Span } from "../../executor/executor.ts";
import type { ReduceOp } from "../../reduce-op.ts";
import type { Context } from "../context.ts";
import { ringPeers, wrap } from "../toolkit/pattern.ts";
import { type ReduceScatter, reducePair, reduceScatterBy, sendRecv, withScratch } from "../toolkit/pipeline.ts";

export const reduceScatterRing: ReduceScatter = reduceScatterBy(ringReduce);

/** One stripe. The inputs are prepared; `output` is finished when it returns. */
export async function ringReduce(
  context: Context,
  output: Span,
  inputs: readonly Span[],
  op: ReduceOp,
  slot: number,
): Promise<void> {
  const { rank, size, executor } = context;
  const { next, previous } = ringPeers(rank, size);
  const longest = Math.max(...inputs.map((input) => input.count));
  await withScratch(executor, output.dtype, size > 1 ? [longest, longest] : [], async (scratch) => {
    if (size === 1) executor.copy(output, inputs[0]!);
    let outgoing = inputs[wrap(rank - 1, size)]!;
    for (let step = 0; step < size - 1; step++) {
      const mine = inputs[wrap(rank - step - 2, size)]!;
      const incoming = executor.slice(scratch[step % 2]!, 0, mine.count);
      await sendRecv(context, next, outgoing, previous, incoming, slot);
      reducePair(context, op, step === size - 2 ? output : incoming, previous, incoming, mine);
      outgoing = incoming;
    }
  });
  if (output.count > 0) executor.finish(op, output, size);
}
