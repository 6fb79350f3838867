/** Sleep: how a rank that has memory in common with others stands still, or waits in its event loop, until one of them wakes it. */
import { WAKE_UPS } from "./gate-words.ts";

/** All of it is about one word of the gate, which whoever wakes the others changes first. */
export interface Sleep {
  /** May this thread stand still? */
  readonly canBlock: boolean;
  /** Stands still until this rank is woken or `ms` milliseconds pass; not at all if the word is not `seen`. */
  block(seen: number, ms: number): void;
  /** Resolves when this rank is woken; at once if the word is not `seen`. */
  wait(seen: number): Promise<void>;
  /** Wakes all ranks that sleep. */
  wake(): void;
}

/** The sleep of threads: JavaScript's own. */
export class ThreadSleep implements Sleep {
  readonly canBlock: boolean;
  readonly #words: Int32Array;

  /** `words` begins at the gate. */
  constructor(words: Int32Array) {
    this.#words = words;
    this.canBlock = canBlock(words);
  }

  block(seen: number, ms: number): void {
    Atomics.wait(this.#words, WAKE_UPS, seen, ms);
  }

  async wait(seen: number): Promise<void> {
    const { async, value } = Atomics.waitAsync(this.#words, WAKE_UPS, seen);
    if (async) await value;
  }

  wake(): void {
    Atomics.notify(this.#words, WAKE_UPS);
  }
}

/** A browser's main thread may not stand still. */
function canBlock(words: Int32Array): boolean {
  try {
    Atomics.wait(words, WAKE_UPS, Atomics.load(words, WAKE_UPS) - 1, 0);
    return true;
  } catch {
    return false;
  }
}
