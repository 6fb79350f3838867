/**
 * Broadcast down a binomial tree. For small tensors, and for two ranks at any size.
 *
 * Ranks are counted from the root. A rank that has a segment sends it to its children, the largest subtree first; after
 * ⌈log₂ N⌉ steps all have it.
 *
 * N ranks, a tensor of S bytes in m segments. A rank with c children sends c·m messages and c·S bytes, the root has
 * ⌈log₂ N⌉ of them; every other rank receives m messages and S bytes. No scratch.
 *
 * Thakur, Rabenseifner, Gropp: Optimization of Collective Communication Operations in MPICH. Int. J. High Perform.
 * Comput. Appl. 19 (2005). DOI 10.1177/1094342005051521
 */
import type { Span } from "../../executor/executor.ts";
import { type Context, recv, send } from "../context.ts";
import { binomialPeers } from "../toolkit/pattern.ts";
import { inStripes } from "../toolkit/pipeline.ts";

/** Every rank's `tensor` becomes the root's. The counts are the same on all ranks. */
export function broadcastBinomial(context: Context, tensor: Span, root: number): Promise<void> {
  const { parent, children } = binomialPeers(context.rank, context.size, root);
  return inStripes(context, [tensor], async (cut, slot) => {
    const segment = cut(tensor);
    if (parent !== null) await recv(context, parent, segment, slot);
    await Promise.all(children.map((child) => send(context, child, segment, slot)));
  });
}
