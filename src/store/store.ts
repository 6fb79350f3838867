/**
 * Store: a small key space that all ranks see, through which they find each other (c10d's Store).
 *
 * Keys are strings, values bytes; strings given as values are stored as UTF-8. Every write wakes those who wait for the
 * key. Subclass it with the nine abstract methods and the rest works; override the rest where you can do it in one trip.
 */
import { StoreError } from "../errors.ts";
import { checkOptions } from "../option-checks.ts";
import { DEFAULT_TIMEOUT_MS, QUEUE_POP_OPTIONS, type QueuePopOptions } from "../options.ts";
import { asyncDispose } from "../support/async-dispose.ts";
import { now } from "../support/clock.ts";
import { storeWaitOf } from "../support/timeouts.ts";

/** A value that may be stored. Strings become UTF-8. */
export type StoreValue = Uint8Array | string;

/** A counter's value as `add` returns it: a bigint where the amount is one. */
export type CounterValue<N extends number | bigint> = N extends bigint ? bigint : number;

/**
 * The bytes of a value.
 * @throws TypeError for a string with a surrogate that is not one of two: it has no UTF-8.
 */
export function toBytes(value: StoreValue): Uint8Array {
  if (typeof value !== "string") return value;
  if (!value.isWellFormed()) throw new TypeError(`the string ${JSON.stringify(value.slice(0, 200))} has no UTF-8`);
  return new TextEncoder().encode(value);
}

/** The bytes of a value, in memory of their own: what the caller does to its array afterwards changes nothing. */
export function ownBytes(value: StoreValue): Uint8Array {
  return typeof value === "string" ? toBytes(value) : new Uint8Array(value);
}

/** The options of a `queuePop` of `store` with every default filled in. */
export function popOptions(store: Store, options: QueuePopOptions): Required<QueuePopOptions> {
  checkOptions("queuePop", QUEUE_POP_OPTIONS, options);
  const timeoutMs = storeWaitOf(options.timeoutMs ?? store.timeoutMs, "queuePop: timeoutMs");
  return { block: options.block ?? true, timeoutMs };
}

/** A key space that all its users see. */
export abstract class Store {
  #timeoutMs = DEFAULT_TIMEOUT_MS;

  /**
   * How long `get`, `wait` and `queuePop` wait by default, in milliseconds: at 0 they look once, at Infinity they wait for
   * good. Default: 300,000.
   * @throws RangeError when set to anything but a number of at least 0.
   */
  get timeoutMs(): number {
    return this.#timeoutMs;
  }

  /** @throws RangeError for anything but a number of at least 0. */
  set timeoutMs(timeoutMs: number) {
    this.#timeoutMs = storeWaitOf(timeoutMs, "the store's timeoutMs");
  }

  /** Overwrites the value of `key`. */
  abstract set(key: string, value: StoreValue): Promise<void>;
  /**
   * The value of `key`, waiting for it if it is not there.
   * @throws TimeoutError after `timeoutMs`, naming the key.
   */
  abstract get(key: string): Promise<Uint8Array>;
  /**
   * Writes `desired` if the key holds `expected`, or if it is absent and `expected` is empty.
   * Returns what the key holds afterwards; for an absent key and a non-empty `expected`, `expected`.
   */
  abstract compareSet(key: string, expected: StoreValue, desired: StoreValue): Promise<Uint8Array>;
  /**
   * Adds to a 64-bit counter kept as decimal text, created at 0, and returns the new value: a number if `amount` is one, a
   * bigint if it is a bigint. A value that `set` wrote counts on if it is the decimal text of a 64-bit integer.
   * @throws StoreError, and nothing is added, if the key holds something else, if the sum leaves the range of 64-bit
   *   integers, or if `amount` is a number and the sum is past 2^53, where numbers are rounded; RangeError for an amount
   *   that is no integer of 64 bits, or a number past 2^53; TypeError for one that is neither a number nor a bigint.
   */
  abstract add<N extends number | bigint>(key: string, amount: N): Promise<CounterValue<N>>;
  /** Are all keys there? Answers at once. */
  abstract check(keys: readonly string[]): Promise<boolean>;
  /**
   * Resolves when all keys are there.
   * @throws TimeoutError after `timeoutMs`, naming the missing keys.
   */
  abstract wait(keys: readonly string[], timeoutMs?: number): Promise<void>;
  /** Removes `key`; true if it was there. */
  abstract deleteKey(key: string): Promise<boolean>;
  /** How many keys there are. */
  abstract numKeys(): Promise<number>;
  /** Ends this client's use of the store; pending waits reject. */
  abstract close(): Promise<void>;

  /** `await using`: {@link close}. */
  [asyncDispose](): Promise<void> {
    return this.close();
  }

  /** True if append, multiGet, multiSet and the queues are one trip each and atomic, not built from the calls above. */
  hasExtendedApi(): boolean {
    return false;
  }

  /** Appends to the value of `key`, created empty. */
  async append(key: string, value: StoreValue): Promise<void> {
    const tail = ownBytes(value);
    // Appenders take turns, each waiting for the one before: compareSet alone cannot tell whose equal bytes were written.
    const turn = await this.add(`${key}/append-turns`, 1);
    if (turn > 1) await this.wait([`${key}/append-done-${turn - 1}`]);
    const head = (await this.check([key])) ? await this.get(key) : new Uint8Array(0);
    const joined = new Uint8Array(head.length + tail.length);
    joined.set(head);
    joined.set(tail, head.length);
    await this.set(key, joined);
    await this.set(`${key}/append-done-${turn}`, "");
  }

  /** The values of all keys, waiting for each. */
  async multiGet(keys: readonly string[]): Promise<Uint8Array[]> {
    return Promise.all(keys.map((key) => this.get(key)));
  }

  /** Sets each key to the value at the same index. */
  async multiSet(keys: readonly string[], values: readonly StoreValue[]): Promise<void> {
    await Promise.all(keysWithValues(keys, values).map(([key, value]) => this.set(key, value)));
  }

  /** Puts a value at the end of the queue `key`. */
  async queuePush(key: string, value: StoreValue): Promise<void> {
    const own = ownBytes(value);
    const index = await this.add(`${key}/tail`, 1);
    await this.set(`${key}/${index}`, own);
  }

  /**
   * Takes the value at the head of the queue. With `block: false` an empty queue is an error; otherwise the call waits
   * for a value.
   * @throws StoreError if the queue is empty and `block` is false; TimeoutError after `timeoutMs`.
   */
  async queuePop(key: string, options: QueuePopOptions = {}): Promise<Uint8Array> {
    const { block, timeoutMs } = popOptions(this, options);
    for (const deadline = now() + timeoutMs; ; ) {
      const index = (await this.add(`${key}/head`, 0)) + 1;
      if (!block && !(await this.check([`${key}/${index}`]))) throw new StoreError(`the queue "${key}" is empty`);
      await this.wait([`${key}/${index}`], Math.max(0, deadline - now()));
      const value = await this.get(`${key}/${index}`);
      // Of those who see the same head, the one whose claim is the first has the value; the others look again.
      if ((await this.add(`${key}/claims-${index}`, 1)) === 1) {
        await this.add(`${key}/head`, 1);
        return value;
      }
    }
  }

  /** How many values the queue holds. */
  async queueLen(key: string): Promise<number> {
    return (await this.add(`${key}/tail`, 0)) - (await this.add(`${key}/head`, 0));
  }
}

/**
 * Each key of a multiSet with its value.
 * @throws RangeError if there are not as many values as keys.
 */
export function keysWithValues(keys: readonly string[], values: readonly StoreValue[]): [string, StoreValue][] {
  if (keys.length !== values.length) throw new RangeError(`multiSet: ${keys.length} keys and ${values.length} values`);
  return keys.map((key, i) => [key, values[i]!]);
}

/** Are the bytes the same? */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
