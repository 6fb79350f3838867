/**
 * All-reduce as a ring reduce-scatter followed by a ring all-gather. For large tensors and commutative operations.
 *
 * The tensor is cut into N chunks. After N − 1 steps rank r holds the result of chunk r (reduce-scatter-ring.ts), after
 * N − 1 more it holds every chunk's (all-gather-ring.ts).
 *
 * N ranks, a tensor of S bytes, chunks in m segments. Per rank: 2(N − 1)·m messages and 2(N − 1)/N·S bytes each way,
 * the least possible; two segments of scratch per stripe. Each element is finished by one rank, its owner.
 *
 * Patarasuk, Yuan: Bandwidth optimal all-reduce algorithms for clusters of workstations. J. Parallel Distrib. Comput.
 * 69 (2009). DOI 10.1016/j.jpdc.2008.09.002
 */
import type { Span } from "../../executor/executor.ts";
import type { ReduceOp } from "../../reduce-op.ts";
import type { Context } from "../context.ts";
import { chunksOf, inStripes } from "../toolkit/pipeline.ts";
import { ringGather } from "./all-gather-ring.ts";
import { ringReduce } from "./reduce-scatter-ring.ts";

/** Every rank's `tensor` becomes the fold of all. The counts are the same on all ranks. */
export async function allReduceRing(context: Context, tensor: Span, op: ReduceOp): Promise<void> {
  if (tensor.count === 0) return;
  const inputs = chunksOf(context, context.executor.prepare(op, tensor, context.size));
  const chunks = chunksOf(context, tensor);
  await inStripes(context, chunks, async (cut, slot) => {
    const segments = chunks.map(cut);
    await ringReduce(context, segments[context.rank]!, inputs.map(cut), op, slot);
    await ringGather(context, segments, slot);
  });
}
