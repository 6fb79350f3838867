/** The even cut of a list among ranks. */

/** A run of elements. */
export interface Share {
  start: number;
  count: number;
}

/**
 * The part of `count` elements that is rank `rank`'s when `size` ranks share them evenly, one part behind the other: the
 * lengths differ by at most one, and the first ranks have the longer ones. Parts are empty where there are fewer elements
 * than ranks.
 * @throws RangeError if an argument is no whole number from 0 on, or if `rank` is none of `size` ranks.
 */
export function evenShare(count: number, rank: number, size: number): Share {
  for (const [name, value] of Object.entries({ count, rank, size })) {
    if (Number.isSafeInteger(value) && value >= 0) continue;
    throw new RangeError(`evenShare: ${name} must be a whole number from 0 on, got ${value}`);
  }
  if (rank >= size) throw new RangeError(`evenShare: there is no rank ${rank} among ${size} ranks`);
  const [least, longer] = [Math.floor(count / size), count % size];
  return { start: rank * least + Math.min(rank, longer), count: least + (rank < longer ? 1 : 0) };
}
