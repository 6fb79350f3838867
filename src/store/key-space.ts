/** KeySpace: the contents of a store, and the effect of each write. No waiting, no clock, no input or output. */
import { StoreError } from "../errors.ts";
import type { Account } from "../support/account.ts";
import { decodeUtf8 } from "../support/utf8.ts";
import { checkAmount, isInt64, shown, toInt64 } from "./counter.ts";
import { type CounterValue, equalBytes } from "./store.ts";

/** What a store may hold that a server keeps for others. */
export interface StoreQuota {
  /** Charged with every value and its key, {@link ITEM_BYTES} besides; a write past its limit is refused. */
  readonly account: Account;
  /** Most keys, and values in queues. */
  readonly keys: number;
  /** Most bytes of one value. */
  readonly valueBytes: number;
}

/** What a value costs a server beyond its bytes and those of its key. */
const ITEM_BYTES = 128;

/** A value, and the bytes of its memory: more than its own where it grew. To ask a short value for its `buffer` would make V8 allocate one. */
interface Item {
  value: Uint8Array;
  capacity: number;
}

/** Keys with their values, and queues, which are a space of their own. Values are copied in and never changed. */
export class KeySpace {
  readonly #quota: StoreQuota | null;
  readonly #items = new Map<string, Item>();
  readonly #queues = new Map<string, Uint8Array[]>();
  #queued = 0;

  /** Without a `quota` it holds what it is given. Every write past the quota throws a StoreError, and nothing is written. */
  constructor(quota: StoreQuota | null = null) {
    this.#quota = quota;
  }

  get size(): number {
    return this.#items.size;
  }

  has(key: string): boolean {
    return this.#items.has(key);
  }

  get(key: string): Uint8Array | undefined {
    return this.#items.get(key)?.value;
  }

  /** Those of `keys` that are not there. */
  missing(keys: readonly string[]): string[] {
    return keys.filter((key) => !this.#items.has(key));
  }

  /**
   * Tells the first of `keys` that it finds missing, or null if all are there. It goes on where it stopped, so that a wait for
   * keys that come one after the other looks at each of them twice.
   */
  looker(keys: readonly string[]): () => string | null {
    let at = 0;
    return () => {
      for (let seen = 0; seen < keys.length; seen++, at = (at + 1) % keys.length) {
        const key = keys[at]!;
        if (!this.#items.has(key)) return key;
      }
      return null;
    };
  }

  /** All keys. */
  keys(): IterableIterator<string> {
    return this.#items.keys();
  }

  /** Copies of the values of all `keys`; undefined if one is not there. */
  getAll(keys: readonly string[]): Uint8Array[] | undefined {
    if (this.missing(keys).length > 0) return undefined;
    return keys.flatMap((key) => this.get(key)?.slice() ?? []);
  }

  set(key: string, value: Uint8Array): void {
    this.#admit(this.#growth(key, value.length), this.has(key) ? 0 : 1);
    this.#put(key, copyOf(value));
  }

  /** All of them or, where they are too many or too long, none. */
  setAll(pairs: readonly (readonly [key: string, value: Uint8Array])[]): void {
    let more = 0;
    for (const [key, value] of pairs) more += this.#growth(key, value.length);
    this.#admit(more, pairs.filter(([key]) => !this.#items.has(key)).length);
    for (const [key, value] of pairs) this.#put(key, copyOf(value));
  }

  delete(key: string): boolean {
    const item = this.#items.get(key);
    if (item) this.#quota?.account.release(costOf(key, item.capacity));
    return this.#items.delete(key);
  }

  clear(): void {
    for (const key of [...this.#items.keys()]) this.delete(key);
    for (const key of [...this.#queues.keys()]) while (this.pop(key));
  }

  /** Takes time in the length of the tail, on average: a value that grows has room behind it, which no earlier reader sees. */
  append(key: string, tail: Uint8Array): void {
    const item = this.#items.get(key);
    const { value: head, capacity: before } = item ?? { value: NOTHING, capacity: 0 };
    const length = head.length + tail.length;
    const hasRoom = length <= before;
    const capacity = hasRoom ? before : length + (head.length >> 1);
    this.#admit(this.#growth(key, capacity, length), item ? 0 : 1);
    const joined = new Uint8Array(hasRoom ? head.buffer : new ArrayBuffer(capacity), 0, length);
    if (!hasRoom) joined.set(head);
    joined.set(tail, head.length);
    this.#put(key, joined, capacity);
  }

  /** Does compareSet write, and with which result? The result is `desired`, or not the caller's to change. */
  compare(key: string, expected: Uint8Array, desired: Uint8Array): { write: boolean; result: Uint8Array } {
    const current = this.get(key);
    if (!current)
      return expected.length === 0 ? { write: true, result: desired } : { write: false, result: copyOf(expected) };
    return equalBytes(current, expected) ? { write: true, result: desired } : { write: false, result: current };
  }

  /**
   * The value of a counter after adding, of the amount's own type.
   * @throws as `Store.add` does.
   */
  sum<N extends number | bigint>(key: string, amount: N): CounterValue<N> {
    checkAmount(key, amount);
    const current = this.get(key);
    const before = current ? counterOf(current) : 0n;
    if (before === null) {
      throw new StoreError(
        `add: the key ${shown(key)} does not hold a counter, which is the decimal text of a 64-bit integer`,
      );
    }
    const sum = before + BigInt(amount);
    if (!isInt64(sum)) {
      throw new StoreError(
        `add: the counter ${shown(key)} is ${before}, and ${amount} more leaves the range of 64 bits`,
      );
    }
    if (typeof amount === "bigint") return sum as CounterValue<N>;
    if (!Number.isSafeInteger(Number(sum))) {
      throw new StoreError(
        `add: the counter ${shown(key)} would be ${sum}, which no number holds exactly: pass a bigint, ` +
          `add(key, ${amount}n), and the result is one`,
      );
    }
    return Number(sum) as CounterValue<N>;
  }

  push(key: string, value: Uint8Array): void {
    const own = copyOf(value);
    const cost = costOf(key, own.length);
    this.#checkLength(key, own.length);
    this.#admit(cost, 1);
    this.#quota?.account.charge(cost);
    this.#queued++;
    const queue = this.#queues.get(key);
    if (queue) queue.push(own);
    else this.#queues.set(key, [own]);
  }

  pop(key: string): Uint8Array | undefined {
    const queue = this.#queues.get(key);
    const value = queue?.shift();
    if (queue?.length === 0) this.#queues.delete(key);
    if (!value) return undefined;
    this.#queued--;
    this.#quota?.account.release(costOf(key, value.length));
    return value;
  }

  queueLength(key: string): number {
    return this.#queues.get(key)?.length ?? 0;
  }

  #put(key: string, value: Uint8Array, capacity = value.length): void {
    const item = this.#items.get(key);
    const more = item ? capacity - item.capacity : costOf(key, capacity);
    if (more !== 0) this.#quota?.account.charge(more);
    if (item) {
      item.value = value;
      item.capacity = capacity;
    } else this.#items.set(key, { value, capacity });
  }

  /** What a value of `length` bytes that takes `capacity` adds to the account in place of the one before. */
  #growth(key: string, capacity: number, length = capacity): number {
    this.#checkLength(key, length);
    const item = this.#items.get(key);
    return item ? capacity - item.capacity : costOf(key, capacity);
  }

  #checkLength(key: string, length: number): void {
    const most = this.#quota?.valueBytes ?? Number.POSITIVE_INFINITY;
    if (length <= most) return;
    throw new StoreError(`the value of ${shown(key)} would have ${length} bytes, and this store takes at most ${most}`);
  }

  #admit(bytes: number, keys: number): void {
    if (!this.#quota) return;
    const { account, keys: most } = this.#quota;
    const remedy = "delete keys that nobody needs, or give its server a larger quota";
    if (keys > 0 && this.#items.size + this.#queued + keys > most) {
      throw new StoreError(`the store is full: it holds at most ${most} keys; ${remedy}`);
    }
    if (bytes <= 0 || account.fits(bytes)) return;
    throw new StoreError(
      `the store is full: it holds ${account.held} bytes, and has no room for ${bytes} more; ${remedy}`,
    );
  }
}

const NOTHING = new Uint8Array(0);

const costOf = (key: string, capacity: number) => ITEM_BYTES + 2 * key.length + capacity;

/** A copy, also of a Buffer, whose own `slice` makes none. */
const copyOf = (bytes: Uint8Array) => new Uint8Array(bytes);

/** The counter that these bytes are the text of, or null. */
function counterOf(bytes: Uint8Array): bigint | null {
  return toInt64(decodeUtf8(bytes));
}

/** A list of keys for a message: the first ten, and how many more. */
export function listKeys(keys: readonly string[]): string {
  const first = keys.slice(0, 10).map(shown);
  return keys.length > 10 ? `${first.join(", ")} and ${keys.length - 10} more` : first.join(", ");
}
