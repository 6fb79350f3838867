/**
 * All-gather in ⌈log₂ N⌉ steps, for any number of ranks (Bruck's concatenation). For small blocks and many ranks.
 *
 * Rank r keeps blocks r, r + 1, … (modulo N) one behind the other in scratch. At distance d = 1, 2, 4, … it holds d
 * blocks; it sends the first min(d, N − d) of them to rank r − d and gets as many from rank r + d, which continue its
 * own. At the end it holds all N and copies them to their places.
 *
 * N ranks, blocks of B bytes. Per rank: ⌈log₂ N⌉ runs of blocks of (N − 1)·B bytes together each way, a run of b bytes
 * being ⌊b / segmentBytes⌋ + 1 messages; N·B bytes of scratch.
 *
 * Bruck, Ho, Kipnis, Upfal, Weathersby: Efficient algorithms for all-to-all communications in multiport message-passing
 * systems. IEEE Trans. Parallel Distrib. Syst. 8 (1997). DOI 10.1109/71.642949
 */
import type { Span } from "../../executor/executor.ts";
import type { Context } from "../context.ts";
import { doublingDistances, wrap } from "../toolkit/pattern.ts";
import { recvSpan, sendSpan, withScratch } from "../toolkit/pipeline.ts";

/**
 * Every rank's `outputs[r]` becomes rank r's `input`. The lengths of `outputs` are the same on all ranks;
 * `input` may be `outputs[rank]` itself.
 */
export async function allGatherDoubling(context: Context, outputs: readonly Span[], input: Span): Promise<void> {
  const { rank, size, executor } = context;
  const places = Array.from({ length: size }, (_, i) => outputs[wrap(rank + i, size)]!);
  const offsets = [0];
  for (const place of places) offsets.push(offsets.at(-1)! + place.count);
  const total = offsets.at(-1)!;
  if (total === 0) return;

  await withScratch(executor, input.dtype, [total], async ([held]) => {
    const blocks = (from: number, to: number) => executor.slice(held!, offsets[from]!, offsets[to]! - offsets[from]!);
    executor.copy(blocks(0, 1), input);
    for (const distance of doublingDistances(size)) {
      const moved = Math.min(distance, size - distance);
      await Promise.all([
        sendSpan(context, wrap(rank - distance, size), blocks(0, moved)),
        recvSpan(context, wrap(rank + distance, size), blocks(distance, distance + moved)),
      ]);
    }
    places.forEach((place, i) => {
      executor.copy(place, blocks(i, i + 1));
    });
  });
}
