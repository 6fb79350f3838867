/**
 * All links of one rank to threads of its job. Every rank has a bell, a word that rises whenever there is something for it
 * in any ring; the rank waits on it in its event loop, and then looks into all its rings.
 */

import type { AddressableHeap, Directory } from "./directory.ts";
import { ThreadLink } from "./link.ts";
import { bellIn, blockSize, Ring } from "./ring-buffer.ts";

/** The keys of threads' blocks, which begin with a bell; those of other blocks are lower. */
const BLOCK_KEY = 2 ** 52;

/** Is `key` that of a bell? */
export function isBellKey(key: number): boolean {
  return key >= BLOCK_KEY;
}

/** Whose links they are, and where they lie. */
export interface ThreadLinksOptions {
  heap: AddressableHeap;
  directory: Directory;
  /** The number of this rank's thread. */
  thread: number;
  /** How many threads the job has, of which any may be linked. */
  threads: number;
  /** A number below 2^51 that only links of the same bring-up have. */
  job: number;
}

/** All links of one rank to threads of its job. */
export class ThreadLinks {
  readonly #options: ThreadLinksOptions;
  /** By the number of the other thread. */
  readonly #links = new Map<number, ThreadLink>();
  /** This rank's block with its bell; null while there is no link. A wait for the bell does not keep the process running. */
  #listening: { address: number; bell: Int32Array } | null = null;

  constructor(options: ThreadLinksOptions) {
    this.#options = options;
  }

  /** The link to thread `other` of the job. */
  link(other: number): ThreadLink {
    const { heap, directory, thread } = this.#options;
    const own = this.#listen().address;
    const theirs = this.#blockOf(other);
    const link = new ThreadLink({
      heap,
      outgoing: this.#ring(own, other),
      incoming: this.#ring(theirs, thread),
      bell: this.#bell(theirs),
      hasEnded: () => directory.hasEnded(other),
      onClosed: () => this.#closed(other),
    });
    this.#links.set(other, link);
    return link;
  }

  /** Closes every open link: for a bring-up that failed. */
  close(): void {
    for (const link of [...this.#links.values()]) link.close();
  }

  #keyOf(thread: number): number {
    return BLOCK_KEY + this.#options.job + thread;
  }

  /** The address of the block of `thread`. */
  #blockOf(thread: number): number {
    const { byteLength, zeroBytes } = blockSize(this.#options.threads);
    return this.#options.directory.acquire(this.#keyOf(thread), byteLength, zeroBytes);
  }

  #ring(block: number, reader: number): Ring {
    const { threads } = this.#options;
    return new Ring(this.#bufferOf(block), block, reader, threads);
  }

  #bell(block: number): Int32Array {
    return bellIn(this.#bufferOf(block), block);
  }

  #bufferOf(block: number): ArrayBufferLike {
    return this.#options.heap.bufferTo(block + blockSize(this.#options.threads).byteLength);
  }

  #listen(): { address: number } {
    if (this.#listening) return this.#listening;
    const address = this.#blockOf(this.#options.thread);
    const bell = this.#bell(address);
    this.#listening = { address, bell };
    void this.#attend(bell);
    return this.#listening;
  }

  async #attend(bell: Int32Array): Promise<void> {
    while (this.#listening) {
      const seen = Atomics.load(bell, 0);
      for (const link of [...this.#links.values()]) link.attend();
      const { async, value } = Atomics.waitAsync(bell, 0, seen);
      if (async) await value;
    }
  }

  #closed(other: number): void {
    if (!this.#links.delete(other)) return;
    this.#options.directory.release(this.#keyOf(other));
    if (this.#links.size === 0) this.#end();
  }

  #end(): void {
    if (!this.#listening) return;
    const { bell } = this.#listening;
    this.#listening = null;
    Atomics.add(bell, 0, 1);
    Atomics.notify(bell, 0);
    this.#options.directory.release(this.#keyOf(this.#options.thread));
  }
}
