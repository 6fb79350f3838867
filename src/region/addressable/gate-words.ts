/**
 * The words of a gate, each alone in its line of 64 bytes: five that all ranks write, then a line for each rank, which it
 * alone writes.
 */
export const WORDS_PER_LINE = 16;

/** What sleepers sleep on, and how many sleep. */
export const WAKE_UPS = 0;
export const SLEEPERS = 1 * WORDS_PER_LINE;
/** The last step that one rank ran something at for all, and the last such step that is done. */
export const RUN_AT = 2 * WORDS_PER_LINE;
export const DONE_AT = 3 * WORDS_PER_LINE;
/** The last step at which that rank failed. */
export const FAILED_AT = 4 * WORDS_PER_LINE;
/** The first rank's flag. */
export const FLAGS = 5 * WORDS_PER_LINE;

/** A rank's flag, which counts its steps. */
export function flagOf(rank: number): number {
  return FLAGS + rank * WORDS_PER_LINE;
}

/** Where a rank says that it waits in its event loop. */
export function waitsAt(rank: number): number {
  return flagOf(rank) + 1;
}

/** Bytes of a gate for `size` ranks. */
export function gateBytes(size: number): number {
  return flagOf(size) * Int32Array.BYTES_PER_ELEMENT;
}
