/**
 * All-reduce at the hub: for groups whose ranks reach each other through one, such as browser tabs.
 *
 * Each segment has a delegate in every cluster, a set of ranks that are linked directly: its members in turn. Phase 1:
 * the members send the delegate theirs, and it folds them in rank order. Phase 2: the hub folds what the delegates send,
 * in the order of their ranks, and sends them the result. Phase 3: the delegate sends it to its cluster. A tab is a
 * cluster by itself, and its link carries its own tensor once each way.
 *
 * A tensor of S bytes in m segments, clusters of k ranks. Per rank: to and from the hub m messages and S / k bytes each
 * way; within the cluster 2(k − 1)/k·m messages and 2(k − 1)/k·S bytes each way; k − 1 segments of scratch per stripe.
 * With every cluster a single rank the fold is in rank order. Each element is finished by one hub.
 */
import type { Span } from "../../executor/executor.ts";
import type { ReduceOp } from "../../reduce-op.ts";
import { type Context, combine, recv, send } from "../context.ts";
import { inStripes, withScratch } from "../toolkit/pipeline.ts";

/** Every rank's `tensor` becomes the fold of all, in rank order, by the hub alone. The counts are the same on all ranks. */
export function allReduceHub(context: Context, tensor: Span, op: ReduceOp): Promise<void> {
  return reduceAcross(context, tensor, op, [context.rank]);
}

/** Every rank's `tensor` becomes the fold of all, cluster by cluster. The counts are the same on all ranks. */
export function allReduceTwoLevel(context: Context, tensor: Span, op: ReduceOp): Promise<void> {
  const cluster = context.hub!.clusters.find((members) => members.includes(context.rank))!;
  return reduceAcross(context, tensor, op, cluster);
}

async function reduceAcross(context: Context, tensor: Span, op: ReduceOp, cluster: readonly number[]): Promise<void> {
  if (tensor.count === 0) return;
  const { rank, size, executor } = context;
  const others = cluster.filter((member) => member !== rank);
  const prepared = executor.prepare(op, tensor, size);
  await inStripes(context, [tensor], async (cut, slot) => {
    const [segment, input] = [cut(tensor), cut(prepared)];
    const delegate = cluster[slot % cluster.length]!;
    if (delegate === rank) {
      if (others.length > 0) await foldCluster(context, cluster, segment, input, op, slot);
      await combine(context, slot, others.length > 0 ? segment : input, segment);
      await Promise.all(others.map((peer) => send(context, peer, segment, slot)));
    } else {
      await Promise.all([send(context, delegate, input, slot), combine(context, slot, null, null)]);
      await recv(context, delegate, segment, slot);
    }
    executor.finish(op, segment, size);
  });
}

/** The delegate's `segment`, whose prepared elements are `input`, becomes the fold of its cluster's. */
function foldCluster(
  context: Context,
  cluster: readonly number[],
  segment: Span,
  input: Span,
  op: ReduceOp,
  slot: number,
): Promise<void> {
  const { rank, executor } = context;
  const counts = cluster.map((member) => (member === rank ? 0 : segment.count));
  return withScratch(executor, segment.dtype, counts, async (scratch) => {
    const operands = cluster.map((member, i) => (member === rank ? input : scratch[i]!));
    await Promise.all(cluster.map((member, i) => member !== rank && recv(context, member, operands[i]!, slot)));
    executor.reduceMany(op, segment, operands);
  });
}
