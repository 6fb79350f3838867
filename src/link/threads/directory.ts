/**
 * Directory: how the threads of a job find each other in their common memory. Whoever asks first for a key makes
 * its block; the last one that gives it up takes the entry out.
 *
 *   byte  size  the memory's first page
 *      0    64  nothing: no address is 0
 *     64     4  lock
 *    128     4  per thread: has it ended?
 *   8192    16  entries: key, low and high word (high word plus 1, so that 0 is an empty entry); address; users
 */
import { now } from "../../support/clock.ts";

/** Memory with an allocator, of which every thread has one over its own part. */
export interface AddressableHeap {
  readonly memory: WebAssembly.Memory;
  /** Address of a new block, a multiple of 64, or -1 if there is no room. */
  allocate(byteLength: number): number;
  release(address: number, byteLength: number): void;
  /** The buffer object that holds at least the first `end` bytes. */
  bufferTo(end: number): ArrayBufferLike;
  /** The address of a byte of `buffer`, or -1 if that is other memory. */
  addressOf(buffer: ArrayBufferLike, byteOffset: number): number;
}

/** Bytes at the memory's start that belong to the directory. */
export const DIRECTORY_BYTES = 65_536;
/** Most threads of a job. */
export const MAX_THREADS = 256;

const LOCK = 16;
const THREADS = 32;
const ENTRIES = 2048;
const ENTRY_WORDS = 4;
/** Words of an entry. */
const KEY_LOW = 0;
const KEY_HIGH = 1;
const ADDRESS = 2;
const USERS = 3;
const WORD = 0x1_0000_0000;
const LOCK_MS = 1_000;

/** One thread's access to the directory. */
export class Directory {
  readonly #heap: AddressableHeap;
  readonly #words: Int32Array;
  /** Blocks this thread made and gave up while others used them. */
  readonly #lent = new Map<number, number>();
  readonly #own = new Map<number, number>();

  constructor(heap: AddressableHeap) {
    this.#heap = heap;
    this.#words = new Int32Array(heap.bufferTo(DIRECTORY_BYTES), 0, DIRECTORY_BYTES / 4);
  }

  /** The block of `key`, made of `byteLength` zeros by the first to ask. */
  acquire(key: number, byteLength: number): number {
    return this.#locked(() => {
      this.#collect();
      const words = this.#words;
      const found = findEntry(words, key);
      if (found >= 0) {
        Atomics.add(words, found + USERS, 1);
        return addressAt(words, found);
      }
      const entry = findEntry(words, null);
      const address = entry < 0 ? -1 : this.#heap.allocate(byteLength);
      if (address < 0) throw new RangeError(`no room for ${byteLength} bytes in the memory that the threads share`);
      new Uint8Array(this.#heap.bufferTo(address + byteLength), address, byteLength).fill(0);
      words[entry + KEY_LOW] = key % WORD;
      words[entry + KEY_HIGH] = Math.floor(key / WORD) + 1;
      words[entry + ADDRESS] = address;
      words[entry + USERS] = 1;
      this.#own.set(address, byteLength);
      return address;
    });
  }

  /** Gives the block of `key` up. */
  release(key: number): void {
    this.#locked(() => {
      const words = this.#words;
      const entry = findEntry(words, key);
      if (entry < 0) return;
      const address = addressAt(words, entry);
      const byteLength = this.#own.get(address);
      if (byteLength !== undefined) this.#lent.set(address, byteLength);
      if (Atomics.sub(words, entry + USERS, 1) === 1) words.fill(0, entry, entry + ENTRY_WORDS);
      this.#collect();
    });
  }

  /** Has thread `index` of the job ended? */
  hasEnded(index: number): boolean {
    return Atomics.load(this.#words, THREADS + index) !== 0;
  }

  /** Takes back the blocks that this thread made and nobody uses any more. */
  #collect(): void {
    for (const [address, byteLength] of this.#lent) {
      if (isUsed(this.#words, address)) continue;
      this.#lent.delete(address);
      this.#own.delete(address);
      this.#heap.release(address, byteLength);
    }
  }

  #locked<T>(body: () => T): T {
    const words = this.#words;
    const end = now() + LOCK_MS;
    while (Atomics.compareExchange(words, LOCK, 0, 1) !== 0) {
      if (now() > end) throw new Error("a thread of this job ended while it held the directory's lock");
    }
    try {
      return body();
    } finally {
      Atomics.store(words, LOCK, 0);
    }
  }
}

/**
 * Tells every thread that thread `index` has ended; `isBell` says which keys are those of bells, words on which threads
 * wait.
 */
export function threadEnded(memory: WebAssembly.Memory, index: number, isBell: (key: number) => boolean): void {
  const words = new Int32Array(memory.buffer, 0, DIRECTORY_BYTES / 4);
  Atomics.store(words, THREADS + index, 1);
  memory.grow(0);
  const all = new Int32Array(memory.buffer);
  for (let entry = ENTRIES; entry < words.length; entry += ENTRY_WORDS) {
    if (isEmpty(words, entry) || !isBell(keyAt(words, entry))) continue;
    const bell = addressAt(words, entry) / 4;
    Atomics.add(all, bell, 1);
    Atomics.notify(all, bell);
  }
}

function isEmpty(words: Int32Array, entry: number): boolean {
  return Atomics.load(words, entry + KEY_HIGH) === 0;
}

function keyAt(words: Int32Array, entry: number): number {
  const low = Atomics.load(words, entry + KEY_LOW) >>> 0;
  return (Atomics.load(words, entry + KEY_HIGH) - 1) * WORD + low;
}

function addressAt(words: Int32Array, entry: number): number {
  return Atomics.load(words, entry + ADDRESS) >>> 0;
}

/** Index of the entry of `key`, or for null of an empty one; -1 if there is none. */
function findEntry(words: Int32Array, key: number | null): number {
  for (let entry = ENTRIES; entry < words.length; entry += ENTRY_WORDS) {
    const empty = isEmpty(words, entry);
    if (key === null ? empty : !empty && keyAt(words, entry) === key) return entry;
  }
  return -1;
}

function isUsed(words: Int32Array, address: number): boolean {
  for (let entry = ENTRIES; entry < words.length; entry += ENTRY_WORDS) {
    if (!isEmpty(words, entry) && addressAt(words, entry) === address) return true;
  }
  return false;
}
