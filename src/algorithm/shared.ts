/**
 * What the algorithms over a shared region have in common. They pull: a rank shows where its tensor lies, and who needs
 * it reads it there.
 *
 * A tensor that does not lie in shared memory goes in and out through a copy that does. Where there is no room for one,
 * the ranks find out at the first step, all of them, and send messages instead.
 */
import type { Span } from "../executor/executor.ts";
import { type Context, sharedOf } from "./context.ts";

/** Pieces of long work, in bytes, between which the event loop may turn: about a quarter of a millisecond. */
const PIECE_BYTES = 1024 * 1024;

/** Lends `body` a span in shared memory with the contents of `span`: itself if it can be, else a copy. */
export async function withShared(context: Context, span: Span, body: (shared: Span) => Promise<void>): Promise<void> {
  const { executor } = sharedOf(context);
  if (span.count === 0 || executor.addressOf(span) >= 0) return body(span);
  const copy = executor.scratch(span.dtype, span.count);
  try {
    executor.copy(copy, span);
    await body(copy);
  } finally {
    executor.release(copy);
  }
}

/** What every rank offered under `index`, or null if some rank had no room for it in shared memory. */
export function offeredByAll(context: Context, index: number, span: Span): Span[] | null {
  const { region } = sharedOf(context);
  const spans: Span[] = [];
  for (let rank = 0; rank < context.size; rank++) {
    const offered = rank === context.rank ? span : region.offered(rank, index, span.dtype, span.count);
    if (!offered || sharedOf(context).executor.addressOf(offered) < 0) return null;
    spans.push(offered);
  }
  return spans;
}

/** Runs `body` on the pieces of `count` elements, and lets the event loop turn between them. */
export async function inPieces(
  context: Context,
  { count, byteLength }: Span,
  body: (start: number, count: number) => void,
): Promise<void> {
  const { region } = sharedOf(context);
  const perPiece = byteLength <= PIECE_BYTES ? count : Math.floor(PIECE_BYTES / (byteLength / count));
  for (let start = 0; start < count; start += perPiece) {
    body(start, Math.min(perPiece, count - start));
    const pause = start + perPiece < count ? region.breathe() : undefined;
    if (pause) await pause;
  }
}
