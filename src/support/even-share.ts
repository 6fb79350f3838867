/** The even cut of a list among ranks. */

/** A run of elements. */
export interface Share {
  /** The first element of the share. */
  start: number;
  /** How many elements it has. */
  count: number;
}

/**
 * The part of `count` elements that is rank `rank`'s when `size` ranks share them evenly, one part behind the other: the
 * lengths differ by at most one, and the first ranks have the longer ones. Parts are empty where there are fewer elements
 * than ranks.
 * @throws RangeError if an argument is no whole number from 0 on, or if `rank` is none of `size` ranks.
 */
export function evenShare(count: number, rank: number, size: number): Share {
  if (![count, rank, size].every((value) => Number.isSafeInteger(value) && value >= 0) || rank >= size) {
    throw new RangeError(`evenShare: rank ${rank} of ${size} has no share of ${count}`);
  }
  const longer = count % size;
  const least = (count - longer) / size;
  return { start: rank * least + Math.min(rank, longer), count: least + (rank < longer ? 1 : 0) };
}
