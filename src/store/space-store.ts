/** SpaceStore: a store over a space of this process. A hub and a page have one each; `HashStore` loads one when it is wanted. */

import { StoreError, TimeoutError } from "../errors.ts";
import type { QueuePopOptions } from "../options.ts";
import { startTimer } from "../support/clock.ts";
import { storeWaitOf } from "../support/timeouts.ts";
import { type KeySpace, listKeys } from "./key-space.ts";
import { LiveSpace } from "./live-space.ts";
import { type CounterValue, keysWithValues, popOptions, Store, type StoreValue, toBytes } from "./store.ts";

/** Values in this process's memory, for everyone who holds the object. Every call is atomic. */
export class SpaceStore extends Store {
  readonly #space: LiveSpace;
  readonly #give: (value: Uint8Array) => Uint8Array;
  readonly #pending = new Set<(error: Error) => void>();
  #closed = false;

  /** A `space` is shared with whoever else serves it. Who `lends` gets the store's own bytes, which are not to be changed. */
  constructor(space: LiveSpace = new LiveSpace(), { lends = false } = {}) {
    super();
    this.#space = space;
    this.#give = lends ? (value) => value : (value) => value.slice();
  }

  async set(key: string, value: StoreValue): Promise<void> {
    this.#open().set(key, toBytes(value));
  }

  get(key: string, timeoutMs: number = this.timeoutMs): Promise<Uint8Array> {
    return this.#allOf(
      [key],
      (contents) => this.#give(contents.get(key)!),
      timeoutMs,
      () => `get: the key "${key}" was not set within ${timeoutMs} ms`,
    );
  }

  async compareSet(key: string, expected: StoreValue, desired: StoreValue): Promise<Uint8Array> {
    return this.#give(this.#open().compareSet(key, toBytes(expected), toBytes(desired)));
  }

  async add<N extends number | bigint>(key: string, amount: N): Promise<CounterValue<N>> {
    return this.#open().add(key, amount);
  }

  async check(keys: readonly string[]): Promise<boolean> {
    return this.#open().contents.looker(keys)() === null;
  }

  async wait(keys: readonly string[], timeoutMs: number = this.timeoutMs): Promise<void> {
    return this.#allOf(
      keys,
      () => {},
      timeoutMs,
      () => this.#missing("wait", keys, timeoutMs),
    );
  }

  async deleteKey(key: string): Promise<boolean> {
    return this.#open().delete(key);
  }

  async numKeys(): Promise<number> {
    return this.#open().contents.size;
  }

  override hasExtendedApi(): boolean {
    return true;
  }

  override async append(key: string, value: StoreValue): Promise<void> {
    this.#open().append(key, toBytes(value));
  }

  override async multiGet(keys: readonly string[], timeoutMs: number = this.timeoutMs): Promise<Uint8Array[]> {
    return this.#allOf(
      keys,
      (contents) => keys.map((key) => this.#give(contents.get(key)!)),
      timeoutMs,
      () => this.#missing("multiGet", keys, timeoutMs),
    );
  }

  override async multiSet(keys: readonly string[], values: readonly StoreValue[]): Promise<void> {
    const pairs = keysWithValues(keys, values).map(([key, value]) => [key, toBytes(value)] as const);
    this.#open().setAll(pairs);
  }

  override async queuePush(key: string, value: StoreValue): Promise<void> {
    this.#open().push(key, toBytes(value));
  }

  override async queuePop(key: string, options: QueuePopOptions = {}): Promise<Uint8Array> {
    const { block, timeoutMs } = popOptions(this, options);
    const space = this.#open();
    const { contents } = space;
    space.serve(key);
    if (!block && contents.queueLength(key) === 0) throw new StoreError(`queuePop: the queue "${key}" is empty`);
    return this.#until(
      () => (contents.queueLength(key) > 0 ? null : key),
      () => contents.pop(key)!,
      timeoutMs,
      () => `queuePop: nothing was pushed to "${key}" within ${timeoutMs} ms`,
    );
  }

  override async queueLen(key: string): Promise<number> {
    return this.#open().contents.queueLength(key);
  }

  /** Ends the store: pending waits and later calls reject with StoreError. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const reject of [...this.#pending]) reject(new StoreError("the store was closed"));
  }

  #open(): LiveSpace {
    if (this.#closed) throw new StoreError("the store is closed");
    return this.#space;
  }

  #missing(call: string, keys: readonly string[], timeoutMs: number): string {
    return `${call}: after ${timeoutMs} ms these keys are missing: ${listKeys(this.#space.contents.missing(keys))}`;
  }

  /** Resolves with the outcome of `take` when all keys are there. */
  #allOf<T>(
    keys: readonly string[],
    take: (contents: KeySpace) => T,
    timeoutMs: number,
    timeoutText: () => string,
  ): Promise<T> {
    const { contents } = this.#space;
    return this.#until(contents.looker(keys), () => take(contents), timeoutMs, timeoutText);
  }

  /** Resolves with the outcome of `take` as soon as `look` lacks no key. */
  async #until<T>(look: () => string | null, take: () => T, timeoutMs: number, timeoutText: () => string): Promise<T> {
    storeWaitOf(timeoutMs);
    const space = this.#open();
    if (look() === null) return take();
    return new Promise((resolve, reject) => {
      const settle = () => {
        timer.cancel();
        this.#pending.delete(fail);
      };
      const fail = (error: Error) => {
        settle();
        end();
        reject(error);
      };
      const timer = startTimer(timeoutMs, () => fail(new TimeoutError(timeoutText())));
      const end = space.until(() => {
        const lacking = look();
        if (lacking !== null) return lacking;
        settle();
        resolve(take());
        return null;
      });
      this.#pending.add(fail);
    });
  }
}
