/**
 * Directory: how the threads of a job find each other in their common memory. Whoever asks first for a key makes
 * its block; the last one that gives it up takes the entry out.
 *
 *   byte  size  the memory's first page
 *      0    64  nothing: no address is 0
 *     64     4  lock: 0, or the thread that holds it plus 1, plus WAITED_FOR, plus DEAD
 *    128     4  per thread: has it ended?
 *   8192    16  entries: key, low and high word; address; users. The high word is one more than the key's, so that 0 is
 *               an empty entry, and -1 one that was taken out
 *
 * The entries are a hash table: the search for a key begins at the entry that the key names and ends at an empty one.
 */

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
/** A thread sleeps until the lock is free. */
const WAITED_FOR = 0x1000;
/** The thread that held the lock has ended. */
const DEAD = 0x2000;
const THREADS = 32;
const ENTRIES = 2048;
const ENTRY_WORDS = 4;
const ENTRY_COUNT = (DIRECTORY_BYTES / 4 - ENTRIES) / ENTRY_WORDS;
/** Words of an entry. */
const KEY_LOW = 0;
const KEY_HIGH = 1;
const ADDRESS = 2;
const USERS = 3;
const EMPTY = 0;
const TAKEN_OUT = -1;
const WORD = 0x1_0000_0000;

/** A block that this thread made. */
interface OwnBlock {
  readonly key: number;
  readonly byteLength: number;
}

/** One thread's access to the directory. */
export class Directory {
  readonly #heap: AddressableHeap;
  readonly #thread: number;
  readonly #words: Int32Array;
  /** By address: the blocks this thread made, and those of them that it gave up while others used them. */
  readonly #own = new Map<number, OwnBlock>();
  readonly #lent = new Map<number, OwnBlock>();

  /** `thread` is the number of this thread in its job. */
  constructor(heap: AddressableHeap, thread: number) {
    this.#heap = heap;
    this.#thread = thread;
    this.#words = new Int32Array(heap.bufferTo(DIRECTORY_BYTES), 0, DIRECTORY_BYTES / 4);
  }

  /** The block of `key`, made by the first to ask. It begins with `zeroBytes` zeros; default: all of it. */
  acquire(key: number, byteLength: number, zeroBytes: number = byteLength): number {
    return this.#locked(() => {
      this.#collect();
      const words = this.#words;
      const found = findEntry(words, key);
      if (found >= 0) {
        words[found + USERS]! += 1;
        return addressAt(words, found);
      }
      const entry = findRoom(words, key);
      const address = entry < 0 ? -1 : this.#heap.allocate(byteLength);
      if (address < 0) throw new RangeError(`no room for ${byteLength} bytes in the memory that the threads share`);
      new Uint8Array(this.#heap.bufferTo(address + byteLength), address, zeroBytes).fill(0);
      words[entry + KEY_LOW] = key % WORD;
      words[entry + ADDRESS] = address;
      words[entry + USERS] = 1;
      Atomics.store(words, entry + KEY_HIGH, highWordOf(key));
      this.#own.set(address, { key, byteLength });
      return address;
    });
  }

  /** Gives the block of `key` up, if there is one. */
  release(key: number): void {
    this.#locked(() => {
      const entry = findEntry(this.#words, key);
      if (entry >= 0) this.#giveUp(entry);
      this.#collect();
    });
  }

  /** Has thread `index` of the job ended? */
  hasEnded(index: number): boolean {
    return Atomics.load(this.#words, THREADS + index) !== 0;
  }

  #giveUp(entry: number): void {
    const words = this.#words;
    const address = addressAt(words, entry);
    const own = this.#own.get(address);
    if (own) this.#lent.set(address, own);
    words[entry + USERS]! -= 1;
    if (words[entry + USERS] === 0) takeOut(words, entry);
  }

  /** Takes back the blocks that this thread made and nobody uses any more. */
  #collect(): void {
    for (const [address, { key, byteLength }] of this.#lent) {
      const entry = findEntry(this.#words, key);
      if (entry >= 0 && addressAt(this.#words, entry) === address) continue;
      this.#lent.delete(address);
      this.#own.delete(address);
      this.#heap.release(address, byteLength);
    }
  }

  #locked<T>(body: () => T): T {
    lock(this.#words, this.#thread);
    try {
      return body();
    } finally {
      unlock(this.#words);
    }
  }
}

/**
 * Takes the lock for `thread`. Who finds it taken sleeps, so that the holder has the core: there may be many more threads
 * than cores.
 * @throws Error if the thread that holds it has ended, for what it left of the directory may be half a change.
 */
function lock(words: Int32Array, thread: number): void {
  let wanted = thread + 1;
  for (;;) {
    const seen = Atomics.compareExchange(words, LOCK, 0, wanted);
    if (seen === 0) return;
    if (seen & DEAD) {
      const holder = (seen & (WAITED_FOR - 1)) - 1;
      throw new Error(`thread ${holder} of this job ended while it held the lock of the threads' common memory`);
    }
    // Others may sleep too: whoever gets the lock after a sleep has to wake the next.
    wanted = (thread + 1) | WAITED_FOR;
    const isMarked = seen & WAITED_FOR || Atomics.compareExchange(words, LOCK, seen, seen | WAITED_FOR) === seen;
    if (isMarked) Atomics.wait(words, LOCK, seen | WAITED_FOR);
  }
}

function unlock(words: Int32Array): void {
  if (Atomics.exchange(words, LOCK, 0) & WAITED_FOR) Atomics.notify(words, LOCK, 1);
}

/**
 * Tells every thread that thread `index` has ended; `isBell` says which keys are those of bells, words on which threads
 * wait.
 */
export function threadEnded(memory: WebAssembly.Memory, index: number, isBell: (key: number) => boolean): void {
  const words = new Int32Array(memory.buffer, 0, DIRECTORY_BYTES / 4);
  Atomics.store(words, THREADS + index, 1);
  markDead(words, index);
  memory.grow(0);
  const all = new Int32Array(memory.buffer);
  for (let entry = ENTRIES; entry < words.length; entry += ENTRY_WORDS) {
    if (!isTaken(words, entry) || !isBell(keyAt(words, entry))) continue;
    const bell = addressAt(words, entry) / 4;
    Atomics.add(all, bell, 1);
    Atomics.notify(all, bell);
  }
}

/** If thread `index` holds the lock, whoever waits for it or asks for it learns that it will never be free. */
function markDead(words: Int32Array, index: number): void {
  const seen = Atomics.load(words, LOCK);
  if ((seen & (WAITED_FOR - 1)) !== index + 1) return;
  if (Atomics.compareExchange(words, LOCK, seen, seen | DEAD) !== seen) {
    markDead(words, index);
    return;
  }
  Atomics.notify(words, LOCK);
}

function highWordOf(key: number): number {
  return Math.floor(key / WORD) + 1;
}

function isTaken(words: Int32Array, entry: number): boolean {
  const high = Atomics.load(words, entry + KEY_HIGH);
  return high !== EMPTY && high !== TAKEN_OUT;
}

function keyAt(words: Int32Array, entry: number): number {
  const low = Atomics.load(words, entry + KEY_LOW) >>> 0;
  return (Atomics.load(words, entry + KEY_HIGH) - 1) * WORD + low;
}

function addressAt(words: Int32Array, entry: number): number {
  return Atomics.load(words, entry + ADDRESS) >>> 0;
}

/** Index of the `step`th entry of the search for `key`. */
function entryAt(key: number, step: number): number {
  return ENTRIES + ((key + step) % ENTRY_COUNT) * ENTRY_WORDS;
}

/** Index of the entry of `key`, or -1 if there is none. */
function findEntry(words: Int32Array, key: number): number {
  for (let step = 0; step < ENTRY_COUNT; step++) {
    const entry = entryAt(key, step);
    if (words[entry + KEY_HIGH] === EMPTY) return -1;
    if (isTaken(words, entry) && keyAt(words, entry) === key) return entry;
  }
  return -1;
}

/** Index of the entry that `key` is to have, which has none yet; -1 if the directory is full. */
function findRoom(words: Int32Array, key: number): number {
  for (let step = 0; step < ENTRY_COUNT; step++) {
    const entry = entryAt(key, step);
    if (!isTaken(words, entry)) return entry;
  }
  return -1;
}

/** Takes an entry out. Searches go on past it, unless they would end behind it anyway. */
function takeOut(words: Int32Array, entry: number): void {
  const index = (entry - ENTRIES) / ENTRY_WORDS;
  Atomics.store(words, entry + KEY_HIGH, TAKEN_OUT);
  if (words[entryAt(index, 1) + KEY_HIGH] !== EMPTY) return;
  for (let at = index; words[entryAt(at, 0) + KEY_HIGH] === TAKEN_OUT; at = (at + ENTRY_COUNT - 1) % ENTRY_COUNT) {
    words[entryAt(at, 0) + KEY_HIGH] = EMPTY;
  }
}
