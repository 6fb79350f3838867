/**
 * The sleep of processes, to which that of JavaScript does not reach. One that stands still sleeps in the kernel. One that waits
 * in its event loop says so in a flag, looks at the word once more, and is woken over its link: whoever wakes changes the word
 * before it reads the flags, so one of the two sees the other.
 */
import { WAKE_UPS, waitsAt } from "./gate-words.ts";
import type { Sleep } from "./sleep.ts";

/** Who makes a sleep gives it these. */
export interface ProcessSleepParts {
  /** Begins at the gate. */
  words: Int32Array;
  rank: number;
  size: number;
  /** Stops this thread until `wakeBlocked` is called in some process, or `ms` milliseconds pass; not at all if the word is not `seen`. */
  block(seen: number, ms: number): void;
  wakeBlocked(): void;
  /** Makes `rank` call `woken`. */
  wake(rank: number): void;
  /** Resolves when the event loop has turned. */
  turn(): Promise<void>;
}

/** See the file's head. */
export class ProcessSleep implements Sleep {
  readonly canBlock = true;
  readonly #parts: ProcessSleepParts;
  #onWoken: (() => void) | null = null;

  constructor(parts: ProcessSleepParts) {
    this.#parts = parts;
  }

  block(seen: number, ms: number): void {
    this.#parts.block(seen, ms);
  }

  async wait(seen: number): Promise<void> {
    const { words, rank, turn } = this.#parts;
    const woken = new Promise<void>((resolve) => {
      this.#onWoken = resolve;
    });
    Atomics.store(words, waitsAt(rank), 1);
    // A rank that changed the word without end would keep this one from all else.
    await (Atomics.load(words, WAKE_UPS) === seen ? woken : turn());
    Atomics.store(words, waitsAt(rank), 0);
    this.#onWoken = null;
  }

  wake(): void {
    const { words, rank: own, size, wakeBlocked, wake } = this.#parts;
    wakeBlocked();
    for (let rank = 0; rank < size; rank++) if (rank !== own && Atomics.load(words, waitsAt(rank)) !== 0) wake(rank);
  }

  /** Another rank has woken this one. */
  woken(): void {
    this.#onWoken?.();
  }
}
