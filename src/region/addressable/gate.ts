/**
 * Gate: where the ranks of a group that have memory in common meet, threads or processes. Everyone counts its steps in a flag
 * of its own, and goes on when it has seen that all have come as far: to tell one rank of another takes one line of one
 * core's cache, and no line has two writers.
 *
 * For BLOCK_MS a rank stands still. While every rank can have a core of its own it reads the others' flags in a loop: a
 * sleep of 20 µs would be longer than most collectives, and two ranks that wake each other in turn would never find each
 * other awake. Where ranks outnumber cores, and when the loop was futile, it sleeps, which gives its core to the rank it
 * waits for. After that the wait goes on in the event loop.
 *
 * When something else has the cores, a long loop keeps the rank it waits for from running. So after PATIENCE loops that
 * were futile they are short. To be woken takes longer than a short loop: ranks that sleep once would sleep at every step
 * from then on. So all ranks try long loops again at the same steps, TRIALS in a row out of TRIAL_STEPS, until one is futile.
 *
 * Sleepers sleep on one word (sleep.ts). Who sleeps reads it, says that it sleeps, and looks at the flags for the last time. Who comes
 * sets its flag, and if it sees that all have come, it changes the word and wakes the sleepers. So a wake-up can come twice, or
 * for nothing, and is never missed: of ranks that come at once, one sees all flags.
 */
import { now } from "../../support/clock.ts";
import { DONE_AT, FAILED_AT, FLAGS, flagOf, RUN_AT, SLEEPERS, WAKE_UPS, WORDS_PER_LINE } from "./gate-words.ts";
import type { Sleep } from "./sleep.ts";

/** The longest that a thread may stand still, its event loop with it, in milliseconds. */
const BLOCK_MS = 1;

/** How long the flags are read in a loop before the thread sleeps for the rest, in milliseconds. */
const SPIN_MS = 0.25;
const SHORT_SPIN_MS = 0.01;
const PATIENCE = 3;
const TRIAL_STEPS = 32;
const TRIALS = 5;
/** As many as so many trials that were not futile make a rank patient again. */
const MOST_FUTILE = 2 ** TRIALS - 1;

/** Looks at the flags between two looks at the clock. */
const LOOKS_PER_CLOCK = 64;

/** Who makes a gate gives it these. */
export interface GateParts {
  rank: number;
  size: number;
  /** How many ranks can run at once. */
  cores: number;
  sleep: Sleep;
}

/** One rank's side of a gate. Steps are numbers modulo 2^32. */
export class AddressableGate {
  readonly #words: Int32Array;
  readonly #flag: number;
  readonly #end: number;
  readonly #spins: boolean;
  readonly #sleep: Sleep;
  /** Rises with every loop that is futile, to MOST_FUTILE, and halves with others. */
  #futile = 0;
  #wasFutile = false;
  #step = 0;
  /** What one rank is to run at this step, when all have come. */
  #once: (() => void) | undefined;

  /** `words` begins at the gate, zero when it is new. */
  constructor(words: Int32Array, { rank, size, cores, sleep }: GateParts) {
    this.#words = words;
    this.#flag = flagOf(rank);
    this.#end = flagOf(size);
    this.#sleep = sleep;
    this.#spins = size <= cores || !sleep.canBlock;
  }

  /**
   * This rank comes to the next step. True if all have come, within BLOCK_MS; else {@link passed} is to be awaited. Of those
   * that give `once`, one runs it when all have come, the others go on when it has; what it throws comes out there.
   */
  arrive(once?: () => void): boolean {
    this.#step = (this.#step + 1) | 0;
    this.#once = once;
    Atomics.store(this.#words, this.#flag, this.#step);
    if (this.#isOver()) {
      if (!once) this.#wake();
      return true;
    }
    return (this.#spins && this.#spin()) || (this.#sleep.canBlock && this.#block());
  }

  /** Did the rank that ran something at this step for all fail? */
  get hasFailed(): boolean {
    return Atomics.load(this.#words, FAILED_AT) === this.#step;
  }

  /** Ranks that have not come. */
  missing(): number[] {
    const ranks = Array.from({ length: (this.#end - FLAGS) / WORDS_PER_LINE }, (_, rank) => rank);
    return ranks.filter((rank) => !this.#hasCome(FLAGS + rank * WORDS_PER_LINE));
  }

  /** Resolves when all have come. */
  async passed(): Promise<void> {
    const words = this.#words;
    Atomics.add(words, SLEEPERS, 1);
    for (;;) {
      const seen = Atomics.load(words, WAKE_UPS);
      if (this.#isOver()) break;
      await this.#sleep.wait(seen);
    }
    Atomics.sub(words, SLEEPERS, 1);
  }

  /** All have come, and what one of them ran for all is done. */
  #isOver(): boolean {
    return this.#once === undefined ? this.#haveAllCome() : this.#isDone(this.#once);
  }

  #haveAllCome(): boolean {
    for (let flag = FLAGS; flag < this.#end; flag += WORDS_PER_LINE) if (!this.#hasCome(flag)) return false;
    return true;
  }

  /** A rank that has come may be a step ahead. */
  #hasCome(flag: number): boolean {
    return ((Atomics.load(this.#words, flag) - this.#step) | 0) >= 0;
  }

  /** Runs `once` if all have come and nobody does. */
  #isDone(once: () => void): boolean {
    const words = this.#words;
    const step = this.#step;
    if (Atomics.load(words, DONE_AT) === step) return true;
    if (Atomics.load(words, RUN_AT) === step || !this.#haveAllCome()) return false;
    if (Atomics.exchange(words, RUN_AT, step) === step) return false;
    try {
      once();
    } catch (error) {
      Atomics.store(words, FAILED_AT, step);
      throw error;
    } finally {
      Atomics.store(words, DONE_AT, step);
      this.#wake();
    }
    return true;
  }

  #wake(): void {
    const words = this.#words;
    if (Atomics.load(words, SLEEPERS) === 0) return;
    Atomics.add(words, WAKE_UPS, 1);
    this.#sleep.wake();
  }

  #spin(): boolean {
    const spinMs = !this.#sleep.canBlock ? BLOCK_MS : this.#isPatient() ? SPIN_MS : SHORT_SPIN_MS;
    // Mostly the first looks tell, and the clock is not looked at.
    for (let end = Infinity, time = 0; time < end; ) {
      for (let i = 0; i < LOOKS_PER_CLOCK; i++) {
        if (!this.#isOver()) continue;
        this.#futile >>= 1;
        this.#wasFutile = false;
        return true;
      }
      time = now();
      if (end === Infinity) end = time + spinMs;
    }
    this.#futile = Math.min(this.#futile + 1, MOST_FUTILE);
    this.#wasFutile = true;
    return false;
  }

  #isPatient(): boolean {
    if (this.#futile < PATIENCE) return true;
    const trial = this.#step & (TRIAL_STEPS - 1);
    return trial === 0 || (trial < TRIALS && !this.#wasFutile);
  }

  #block(): boolean {
    const words = this.#words;
    const end = now() + BLOCK_MS;
    Atomics.add(words, SLEEPERS, 1);
    let isOver = false;
    for (let left = BLOCK_MS; left > 0; left = end - now()) {
      const seen = Atomics.load(words, WAKE_UPS);
      isOver = this.#isOver();
      if (isOver) break;
      this.#sleep.block(seen, left);
    }
    Atomics.sub(words, SLEEPERS, 1);
    return isOver || this.#isOver();
  }
}
