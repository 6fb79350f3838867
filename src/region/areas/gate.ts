/**
 * Area gate: where the processes of a group meet. Everyone counts its steps in its own file, and goes on when it has seen
 * that all have come as far.
 *
 * A flag is twice the number of steps, plus 1 if its rank sleeps at that step. For a while, BLOCK_MS at most, a rank stands
 * still and reads the others' flags: in a loop while every rank can have a core, and then, or else at once, with naps
 * between the looks, which give its core to others. After that it says that it sleeps, looks once more, and waits in the
 * event loop for a wake-up over its links.
 *
 * Whoever sees at its first look that all have come wakes those that sleep. Of any number of ranks that come at once, one
 * sees that: each writes its own flag before it reads the others', and a read of a file is a full barrier.
 */

import type { MemoryFile } from "../../platform.ts";
import { now } from "../../support/clock.ts";

/** The longest that a rank stands still, its event loop with it, in milliseconds. */
const BLOCK_MS = 1;
/** How long the flags are read in a loop before the rank naps between two looks, in milliseconds. */
const SPIN_MS = 0.1;
/** A nap, in milliseconds, as short as can be: the kernel adds about 0.05. */
const NAP_MS = 0.001;
/**
 * After this many waits in vain, one after the other, a rank stands still for SHORT_MS only, but every so often, for what it
 * cannot see while it does: that the others would have come.
 */
const WAITS_IN_VAIN = 4;
const SHORT_MS = 0.02;
const TRY_AGAIN_AFTER = 16;

/** The parts and settings of a gate. */
export interface AreasGateParts {
  rank: number;
  /** Every rank's file, and where in it its flag is. */
  flags: readonly { file: MemoryFile; at: number }[];
  /** Can every rank have a core of its own? */
  spins: boolean;
  /** Lets this thread sleep. */
  nap(ms: number): void;
  /** Makes `rank` call `woken`. */
  wake(rank: number): void;
}

/** One rank's side of a gate. */
export class AreasGate {
  readonly #parts: AreasGateParts;
  /** The flags as they were last seen. */
  readonly #seen: Float64Array;
  readonly #bytes: readonly Uint8Array[];
  #steps = 0;
  /** Waits in vain since the last that was not. */
  #inVain = 0;
  #onWoken: (() => void) | null = null;

  constructor(parts: AreasGateParts) {
    this.#parts = parts;
    this.#seen = new Float64Array(parts.flags.length);
    const { buffer } = this.#seen;
    this.#bytes = parts.flags.map((_, rank) => new Uint8Array(buffer, rank * 8, 8));
  }

  /** How many steps this rank has made. */
  get steps(): number {
    return this.#steps;
  }

  /** This rank comes to the next step. True if all have come, soon; else {@link passed} is to be awaited. */
  arrive(): boolean {
    this.#steps++;
    this.#publish(2 * this.#steps);
    // Who was seen to have come at an earlier look may sleep by now.
    let all = true;
    for (let rank = 0; rank < this.#seen.length; rank++) {
      if (rank !== this.#parts.rank) this.#look(rank);
      if (this.#isMissing(rank)) all = false;
    }
    if (!all) return this.#block();
    const asleep = 2 * this.#steps + 1;
    for (let rank = 0; rank < this.#seen.length; rank++) if (this.#seen[rank] === asleep) this.#parts.wake(rank);
    return true;
  }

  /** Ranks that have not come. */
  missing(): number[] {
    this.#haveAllCome();
    return [...this.#seen.keys()].filter((rank) => this.#isMissing(rank));
  }

  /** Resolves when all have come. */
  async passed(): Promise<void> {
    this.#publish(2 * this.#steps + 1);
    while (!this.#haveAllCome()) {
      await new Promise<void>((resolve) => {
        this.#onWoken = resolve;
      });
    }
  }

  /** Another rank found that all have come. */
  woken(): void {
    this.#onWoken?.();
  }

  #block(): boolean {
    const { spins, nap } = this.#parts;
    const isPatient = this.#inVain < WAITS_IN_VAIN || this.#inVain % TRY_AGAIN_AFTER === 0;
    const patienceMs = isPatient ? BLOCK_MS : SHORT_MS;
    const start = now();
    this.#inVain++;
    for (let waitedMs = 0; waitedMs < patienceMs; waitedMs = now() - start) {
      if (!spins || waitedMs >= SPIN_MS) nap(NAP_MS);
      if (!this.#haveAllCome()) continue;
      this.#inVain = 0;
      return true;
    }
    return false;
  }

  /** Reads the flags of those that were not seen to have come. */
  #haveAllCome(): boolean {
    let all = true;
    for (let rank = 0; rank < this.#seen.length; rank++) {
      if (!this.#isMissing(rank)) continue;
      this.#look(rank);
      if (this.#isMissing(rank)) all = false;
    }
    return all;
  }

  #look(rank: number): void {
    const { file, at } = this.#parts.flags[rank]!;
    file.read(this.#bytes[rank]!, at);
  }

  #isMissing(rank: number): boolean {
    return this.#seen[rank]! < 2 * this.#steps;
  }

  #publish(flag: number): void {
    const { rank, flags } = this.#parts;
    this.#seen[rank] = flag;
    const { file, at } = flags[rank]!;
    file.write(this.#bytes[rank]!, at);
  }
}
