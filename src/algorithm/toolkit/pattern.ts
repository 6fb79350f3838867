/**
 * Who talks to whom: pure arithmetic on ranks, for any number of them.
 */

/** `value` modulo `size`, never negative. */
export function wrap(value: number, size: number): number {
  return ((value % size) + size) % size;
}

/** The neighbours in the ring 0 → 1 → … → size − 1 → 0. */
export function ringPeers(rank: number, size: number): { next: number; previous: number } {
  return { next: wrap(rank + 1, size), previous: wrap(rank - 1, size) };
}

/** Every other rank, beginning with the next one, so that not all ranks turn to the same peer first. */
export function otherRanks(rank: number, size: number): number[] {
  return Array.from({ length: size - 1 }, (_, i) => wrap(rank + 1 + i, size));
}

/** 1, 2, 4, … below `size`: the distances of dissemination and of Bruck's all-gather, ⌈log₂ size⌉ of them. */
export function doublingDistances(size: number): number[] {
  const distances: number[] = [];
  for (let distance = 1; distance < size; distance *= 2) distances.push(distance);
  return distances;
}

/** A rank's place in a binomial tree. */
export interface TreePeers {
  /** Null at the root. */
  parent: number | null;
  /** The child with the largest subtree first; a child at distance d has the ranks up to d − 1 behind it below itself. */
  children: number[];
}

/**
 * The binomial tree over the ranks counted from `root`: the parent is found by clearing the lowest set bit.
 * Its depth is ⌈log₂ size⌉, which is also the root's number of children.
 */
export function binomialPeers(rank: number, size: number, root: number): TreePeers {
  const relative = wrap(rank - root, size);
  const children: number[] = [];
  let distance = 1;
  while (distance < size && relative % (2 * distance) === 0) {
    if (relative + distance < size) children.unshift(wrap(rank + distance, size));
    distance *= 2;
  }
  return { parent: relative === 0 ? null : wrap(rank - distance, size), children };
}

/** A rank's part in recursive doubling or halving. */
export interface DoublingPeers {
  /** Its number among the P ranks that take part; the proxy's if it sits out. */
  place: number;
  /** This rank hands its tensor to that one, sits out, and gets the result back. */
  proxy: number | null;
  /** This rank speaks for that one too. */
  ward: number | null;
  /** Whom a rank that takes part trades with, at distances 1, 2, 4, … P/2 in places; empty if it sits out. */
  partners: number[];
}

/**
 * Recursive doubling, or halving, among the largest power of two of ranks, P. The size − P ranks too many are the even ones of the
 * first pairs (0, 1), (2, 3), …, each spoken for by its odd neighbour. So what a rank holds is always a run of
 * consecutive ranks, and the run of a lower partner is wholly below it.
 */
export function doublingPeers(rank: number, size: number): DoublingPeers {
  let power = 1;
  while (power * 2 <= size) power *= 2;
  const extra = size - power;
  const paired = rank < 2 * extra;
  const place = paired ? Math.floor(rank / 2) : rank - extra;
  if (paired && rank % 2 === 0) return { place, proxy: rank + 1, ward: null, partners: [] };

  const rankAt = (at: number) => (at < extra ? 2 * at + 1 : at + extra);
  return {
    place,
    proxy: null,
    ward: paired ? rank - 1 : null,
    partners: doublingDistances(power).map((distance) => rankAt(place ^ distance)),
  };
}
