/**
 * Gate: where the threads of a group meet. Everyone counts itself in, and goes on when all have come.
 *
 * For BLOCK_MS a thread stands still. While every rank can have a core of its own it reads the counter in a loop: a sleep
 * of 20 µs would be longer than most collectives, and two ranks that wake each other in turn would never find each other
 * awake. Where ranks outnumber cores, and when the loop was in vain, it sleeps on the counter, which gives its core to the
 * rank it waits for. After that the wait goes on in the event loop.
 *
 * When something else has the cores, a long loop keeps the rank it waits for from running. So after PATIENCE loops that
 * were in vain they are short, but for one in TRIAL_STEPS, which finds out when the cores are free again.
 *
 * What is awaited is a number that only rises (modulo 2^32), so a wake-up can come twice, or for nothing, and is never
 * missed: who sleeps says so before it looks at the counter for the last time, and who comes last looks for sleepers after
 * it has counted itself in.
 */

/** The longest that a thread may stand still, its event loop with it, in milliseconds. */
const BLOCK_MS = 1;

/** How long the counter is read in a loop before the thread sleeps for the rest, in milliseconds. */
const SPIN_MS = 0.25;
const SHORT_SPIN_MS = 0.01;
const PATIENCE = 3;
const TRIAL_STEPS = 32;

/** Reads of the counter between two looks at the clock. */
const READS_PER_LOOK = 64;

const COUNT = 0;
const SLEEPERS = 16;
const STEPS = 32;
const WORDS_PER_LINE = 16;

/** Bytes of a gate for `size` ranks: the counter, how many sleep, and every rank's steps, each alone in its line of 64. */
export function gateBytes(size: number): number {
  return 128 + size * 64;
}

/** One rank's side of a gate. */
export class Gate {
  readonly #words: Int32Array;
  readonly #rank: number;
  readonly #size: number;
  readonly #spins: boolean;
  readonly #canSleep: boolean;
  /** Rises with every loop that is in vain, and falls faster with others. */
  #vain = 0;
  #target = 0;
  #steps = 0;

  /** `words` begins at the gate, zero when it is new; `cores` is how many threads can run at once. */
  constructor(words: Int32Array, rank: number, size: number, cores: number) {
    this.#words = words;
    this.#rank = rank;
    this.#size = size;
    this.#canSleep = canBlock(words);
    this.#spins = size <= cores || !this.#canSleep;
  }

  /**
   * Counts this rank in. True if all have come, within BLOCK_MS; else {@link passed} is to be awaited. With `last`, the
   * rank that comes last runs it, if it gave one, before those that gave one go on.
   */
  arrive(last?: () => void): boolean {
    const words = this.#words;
    const full = (Math.imul(this.#steps, this.#size + 1) + this.#size) | 0;
    this.#target = last ? (full + 1) | 0 : full;
    this.#steps = (this.#steps + 1) | 0;
    words[STEPS + this.#rank * WORDS_PER_LINE] = this.#steps;
    const count = (Atomics.add(words, COUNT, 1) + 1) | 0;
    if (count === full) {
      try {
        last?.();
      } finally {
        // Once more, when `last` is done; also without one, for in calls that differ other ranks may have given theirs.
        Atomics.add(words, COUNT, 1);
        if (Atomics.load(words, SLEEPERS) !== 0) Atomics.notify(words, COUNT);
      }
      return true;
    }
    if (this.#spins && this.#spin()) return true;
    return this.#canSleep && this.#sleep();
  }

  /** Ranks that have not come. */
  missing(): number[] {
    const ranks = Array.from({ length: this.#size }, (_, rank) => rank);
    return ranks.filter((rank) => ((Atomics.load(this.#words, STEPS + rank * WORDS_PER_LINE) - this.#steps) | 0) < 0);
  }

  /** Resolves when all have come. */
  async passed(): Promise<void> {
    const words = this.#words;
    const target = this.#target;
    Atomics.add(words, SLEEPERS, 1);
    for (;;) {
      const seen = Atomics.load(words, COUNT);
      if (reached(seen, target)) break;
      const { async, value } = Atomics.waitAsync(words, COUNT, seen);
      if (async) await value;
    }
    Atomics.sub(words, SLEEPERS, 1);
  }

  #spin(): boolean {
    const words = this.#words;
    const target = this.#target;
    const isLong = this.#vain < PATIENCE || this.#vain % TRIAL_STEPS === 0;
    const spinMs = !this.#canSleep ? BLOCK_MS : isLong ? SPIN_MS : SHORT_SPIN_MS;
    // Mostly the first reads tell, and the clock is not looked at.
    for (let end = Infinity, now = 0; now < end; ) {
      for (let i = 0; i < READS_PER_LOOK; i++) {
        if (!reached(Atomics.load(words, COUNT), target)) continue;
        this.#vain >>= 1;
        return true;
      }
      now = performance.now();
      if (end === Infinity) end = now + spinMs;
    }
    this.#vain++;
    return false;
  }

  #sleep(): boolean {
    const words = this.#words;
    const target = this.#target;
    const end = performance.now() + BLOCK_MS;
    Atomics.add(words, SLEEPERS, 1);
    let seen = Atomics.load(words, COUNT);
    for (let left = BLOCK_MS; !reached(seen, target) && left > 0; left = end - performance.now()) {
      Atomics.wait(words, COUNT, seen, left);
      seen = Atomics.load(words, COUNT);
    }
    Atomics.sub(words, SLEEPERS, 1);
    return reached(seen, target);
  }
}

function reached(count: number, target: number): boolean {
  return ((count - target) | 0) >= 0;
}

/** A browser's main thread may not sleep. */
function canBlock(words: Int32Array): boolean {
  try {
    Atomics.wait(words, SLEEPERS, -1, 0);
    return true;
  } catch {
    return false;
  }
}
