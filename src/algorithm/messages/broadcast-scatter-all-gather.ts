/**
 * Broadcast as a scatter followed by a ring all-gather. For large tensors and three ranks or more: the root sends the
 * tensor about twice, not ⌈log₂ N⌉ times.
 *
 * The tensor is cut into N chunks. Phase 1: the root sends rank r chunk r. Phase 2: the chunks walk around the ring
 * (all-gather-ring.ts), except into the root, which has them.
 *
 * N ranks, a tensor of S bytes, chunks in m segments. The root sends 2(N − 1)·m messages of 2(N − 1)/N·S bytes and
 * receives nothing. Every other rank receives N·m messages of S bytes; it sends (N − 1)·m of (N − 1)/N·S, and the one
 * before the root none. No scratch.
 *
 * Thakur, Rabenseifner, Gropp: Optimization of Collective Communication Operations in MPICH ("van de Geijn"). Int. J.
 * High Perform. Comput. Appl. 19 (2005). DOI 10.1177/1094342005051521
 */
import type { Span } from "../../executor/executor.ts";
import { type Context, recv, send } from "../context.ts";
import { otherRanks } from "../toolkit/pattern.ts";
import { chunksOf, inStripes } from "../toolkit/pipeline.ts";
import { ringGather } from "./all-gather-ring.ts";

/** Every rank's `tensor` becomes the root's. The counts are the same on all ranks. */
export function broadcastScatterAllGather(context: Context, tensor: Span, root: number): Promise<void> {
  const { rank, size } = context;
  const chunks = chunksOf(context, tensor);
  return inStripes(context, chunks, async (cut, slot) => {
    const segments = chunks.map(cut);
    const own = segments[rank]!;
    if (rank === root) {
      const given = otherRanks(rank, size).filter((peer) => segments[peer]!.count > 0);
      await Promise.all(given.map((peer) => send(context, peer, segments[peer]!, slot)));
    } else if (own.count > 0) {
      await recv(context, root, own, slot);
    }
    await ringGather(context, segments, slot, root);
  });
}
