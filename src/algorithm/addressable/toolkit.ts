/**
 * What the algorithms over addressable memory have in common. They pull: a rank shows where its tensor lies, and who needs
 * it reads it there.
 *
 * A tensor that does not lie in the common memory goes in and out through a copy that does; a long one in stages, so that the
 * copy stays short. That a rank has such a long one, or no room for a copy, the ranks find out at the first step, all of them:
 * then they go by stages, or send messages instead.
 */

import type { Span } from "../../executor/executor.ts";
import type { AddressableMemory } from "../../region/region.ts";
import { after, type Late } from "../../support/late.ts";
import type { Context } from "../context.ts";

/** The region of ranks that address each other's memory; select.ts gives the algorithms over it to no other group. */
export function addressableOf({ region }: Context): AddressableMemory {
  if (region?.kind !== "addressable") throw new Error("this algorithm needs ranks that address each other's memory");
  return region;
}

/** Pieces of long work, in bytes, between which the event loop may turn: about a quarter of a millisecond. */
const PIECE_BYTES = 1024 * 1024;

/** The longest copy of a tensor that does not lie in the common memory. */
const STAGE_BYTES = 2 * 1024 * 1024;

/**
 * Lends `body` a span in the common memory with the contents of `span`: itself if it can be, else a copy. One that is too long
 * for a copy is lent as it is.
 */
export function withAddressable(context: Context, span: Span, body: (addressable: Span) => Late): Late {
  const asItIs = span.count === 0 || addressableOf(context).holds(span) || span.byteLength > STAGE_BYTES;
  return asItIs ? body(span) : withCopy(context, span, body);
}

/**
 * For calls that found that not all ranks have their tensors in the common memory: runs `stage` on one short piece of `span` after
 * the other, or `otherwise` where it is short, so that a rank had no room even for a copy of it. Nobody shows a piece before all
 * have seen what was shown of the whole.
 */
export function inStages(
  context: Context,
  span: Pick<Span, "count" | "byteLength">,
  stage: (start: number, count: number) => Late,
  otherwise: () => Late,
): Late {
  const { count, byteLength } = span;
  if (byteLength <= STAGE_BYTES) return otherwise();
  const perStage = Math.floor(STAGE_BYTES / (byteLength / count));
  const from = (start: number): Late => {
    if (start >= count) return undefined;
    return after(stage(start, Math.min(perStage, count - start)), () => from(start + perStage));
  };
  return after(addressableOf(context).step(), () => from(0));
}

function withCopy(context: Context, span: Span, body: (addressable: Span) => Late): Late {
  const { executor } = addressableOf(context);
  const copy = executor.scratch(span.dtype, span.count);
  let late: Late;
  try {
    executor.copy(copy, span);
    late = body(copy);
  } finally {
    if (!late) executor.release(copy);
  }
  return late?.finally(() => executor.release(copy));
}

/** What every rank offered under `index`, or null if some rank had no room for it in the common memory. */
export function offeredByAll(context: Context, index: number, span: Span): Span[] | null {
  const region = addressableOf(context);
  const spans: Span[] = [];
  for (let rank = 0; rank < context.size; rank++) {
    const offered = rank === context.rank ? span : region.offered(rank, index, span.dtype, span.count);
    if (!offered || !region.holds(offered)) return null;
    spans.push(offered);
  }
  return spans;
}

/** Runs `body` on the pieces of `count` elements, and lets the event loop turn between them. */
export function inPieces(
  context: Context,
  span: Pick<Span, "count" | "byteLength">,
  body: (start: number, count: number) => void,
  from = 0,
): Late {
  const { count, byteLength } = span;
  const region = addressableOf(context);
  const perPiece = byteLength <= PIECE_BYTES ? count : Math.floor(PIECE_BYTES / (byteLength / count));
  for (let start = from; start < count; start += perPiece) {
    body(start, Math.min(perPiece, count - start));
    const next = start + perPiece;
    const pause = next < count ? region.breathe() : undefined;
    if (pause) return pause.then(() => inPieces(context, span, body, next));
  }
  return undefined;
}

/** target = source, in pieces. */
export function copyInPieces(context: Context, target: Span, source: Span): Late {
  const { executor } = addressableOf(context);
  return inPieces(context, target, (start, count) => {
    executor.copy(executor.slice(target, start, count), executor.slice(source, start, count));
  });
}
