/**
 * What the algorithms over addressable memory have in common. They pull: a rank shows where its tensor lies, and who needs
 * it reads it there.
 *
 * A tensor that does not lie in the common memory goes in and out through a copy that does. Where there is no room for one,
 * the ranks find out at the first step, all of them, and send messages instead.
 */

import type { Span } from "../../executor/executor.ts";
import type { AddressableMemory } from "../../region/region.ts";
import type { Late } from "../../support/late.ts";
import type { Context } from "../context.ts";

/** The region of ranks that address each other's memory; select.ts gives the algorithms over it to no other group. */
export function addressableOf({ region }: Context): AddressableMemory {
  if (region?.kind !== "addressable") throw new Error("this algorithm needs ranks that address each other's memory");
  return region;
}

/** Pieces of long work, in bytes, between which the event loop may turn: about a quarter of a millisecond. */
const PIECE_BYTES = 1024 * 1024;

/** Lends `body` a span in the common memory with the contents of `span`: itself if it can be, else a copy. */
export function withAddressable(context: Context, span: Span, body: (addressable: Span) => Late): Late {
  const isShared = span.count === 0 || addressableOf(context).holds(span);
  return isShared ? body(span) : withCopy(context, span, body);
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
