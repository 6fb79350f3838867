/**
 * All links of one rank to threads of its job. Every rank has a bell, a word that rises whenever there is something for it
 * in any ring; the rank waits on it in its event loop, and then looks into all its rings.
 */

import { keepAlive, type Timer } from "../../support/clock.ts";
import type { AddressableHeap, Directory } from "./directory.ts";
import { ThreadLink } from "./link.ts";
import { RING_BLOCK_BYTES, Ring } from "./ring-buffer.ts";

const BELL_BYTES = 64;
const RING_KEY = 2 ** 52;
const BELL_KEY = 2 ** 52 + 2 ** 50;

/** Is `key` that of a bell? */
export function isBellKey(key: number): boolean {
  return key >= BELL_KEY;
}

/** All links of one rank to threads of its job. */
export class ThreadLinks {
  readonly #rank: number;
  readonly #heap: AddressableHeap;
  readonly #directory: Directory;
  readonly #links = new Map<number, ThreadLink>();
  /**
   * This rank's bell, and a timer that keeps the process running, because a wait for the bell does not. Null while
   * there is no link.
   */
  #listening: { bell: Int32Array; awake: Timer } | null = null;

  constructor(rank: number, heap: AddressableHeap, directory: Directory) {
    this.#rank = rank;
    this.#heap = heap;
    this.#directory = directory;
  }

  /** The link to rank `other`, which is thread `thread` of the job. */
  link(other: number, thread: number): ThreadLink {
    const link = new ThreadLink({
      heap: this.#heap,
      outgoing: this.#ring(this.#rank, other),
      incoming: this.#ring(other, this.#rank),
      bell: this.#bellOf(other),
      hasEnded: () => this.#directory.hasEnded(thread),
      onClosed: () => this.#closed(other),
    });
    this.#links.set(other, link);
    if (!this.#listening) {
      this.#listening = { bell: this.#bellOf(this.#rank), awake: keepAlive() };
      void this.#listen(this.#listening.bell);
    }
    return link;
  }

  /** Closes every open link: for a bring-up that failed. */
  close(): void {
    for (const link of [...this.#links.values()]) link.close();
  }

  #ring(from: number, to: number): Ring {
    return new Ring(this.#heap, this.#directory.acquire(ringKey(from, to), RING_BLOCK_BYTES));
  }

  #bellOf(rank: number): Int32Array {
    const address = this.#directory.acquire(BELL_KEY + rank, BELL_BYTES);
    return new Int32Array(this.#heap.bufferTo(address + BELL_BYTES), address, BELL_BYTES / 4);
  }

  async #listen(bell: Int32Array): Promise<void> {
    while (this.#listening) {
      const seen = Atomics.load(bell, 0);
      for (const link of [...this.#links.values()]) link.attend();
      const { async, value } = Atomics.waitAsync(bell, 0, seen);
      if (async) await value;
    }
  }

  #closed(other: number): void {
    if (!this.#links.delete(other)) return;
    for (const key of [ringKey(this.#rank, other), ringKey(other, this.#rank), BELL_KEY + other]) {
      this.#directory.release(key);
    }
    if (this.#links.size === 0) this.#end();
  }

  #end(): void {
    if (!this.#listening) return;
    const { bell, awake } = this.#listening;
    this.#listening = null;
    awake.cancel();
    Atomics.add(bell, 0, 1);
    Atomics.notify(bell, 0);
    this.#directory.release(BELL_KEY + this.#rank);
  }
}

function ringKey(from: number, to: number): number {
  return RING_KEY + from * 2 ** 20 + to;
}
