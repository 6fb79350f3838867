/** Random numbers that depend on a seed alone, so that all ranks and all runs draw the same. */

/** A function whose calls give whole numbers from 0 to 2^32 - 1, by mulberry32. */
export function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
}

/** The numbers below `count` in an order that depends on `seed` alone. */
export function shuffled(count: number, seed: number): number[] {
  const numbers = Array.from({ length: count }, (_, i) => i);
  const random = randomOf(seed);
  for (let i = count - 1; i > 0; i--) {
    const other = random() % (i + 1);
    [numbers[i], numbers[other]] = [numbers[other]!, numbers[i]!];
  }
  return numbers;
}
