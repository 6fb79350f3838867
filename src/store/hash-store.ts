/** HashStore: a store within one process. */

import { StoreError, TimeoutError } from "../errors.ts";
import type { QueuePopOptions } from "../options.ts";
import { startTimer } from "../support/clock.ts";
import { storeWaitOf } from "../support/timeouts.ts";
import { KeySpace, listKeys } from "./key-space.ts";
import { type CounterValue, keysWithValues, popOptions, Store, type StoreValue, toBytes } from "./store.ts";

/** One caller who waits until `attempt` succeeds. */
interface Waiter {
  /** True once the caller's wait is over. */
  attempt(): boolean;
  reject(error: Error): void;
}

/** Values in this process's memory, for everyone who holds the object. Every call is atomic. */
export class HashStore extends Store {
  readonly #space = new KeySpace();
  readonly #waiters = new Set<Waiter>();
  #closed = false;

  async set(key: string, value: StoreValue): Promise<void> {
    this.#open().set(key, toBytes(value));
    this.#wake();
  }

  async get(key: string, timeoutMs: number = this.timeoutMs): Promise<Uint8Array> {
    return this.#until(
      () => this.#space.get(key)?.slice(),
      timeoutMs,
      () => `get: the key "${key}" was not set within ${timeoutMs} ms`,
    );
  }

  async compareSet(key: string, expected: StoreValue, desired: StoreValue): Promise<Uint8Array> {
    const wanted = toBytes(desired);
    const { write, result } = this.#open().compare(key, toBytes(expected), wanted);
    if (write) {
      this.#space.set(key, wanted);
      this.#wake();
    }
    return result.slice();
  }

  async add<N extends number | bigint>(key: string, amount: N): Promise<CounterValue<N>> {
    const sum = this.#open().sum(key, amount);
    this.#space.set(key, toBytes(String(sum)));
    this.#wake();
    return sum;
  }

  async check(keys: readonly string[]): Promise<boolean> {
    const space = this.#open();
    return keys.every((key) => space.has(key));
  }

  async wait(keys: readonly string[], timeoutMs: number = this.timeoutMs): Promise<void> {
    await this.#until(
      () => this.#space.missing(keys).length === 0 || undefined,
      timeoutMs,
      () => `wait: after ${timeoutMs} ms these keys are missing: ${listKeys(this.#space.missing(keys))}`,
    );
  }

  async deleteKey(key: string): Promise<boolean> {
    return this.#open().delete(key);
  }

  async numKeys(): Promise<number> {
    return this.#open().size;
  }

  override hasExtendedApi(): boolean {
    return true;
  }

  override async append(key: string, value: StoreValue): Promise<void> {
    this.#open().append(key, toBytes(value));
    this.#wake();
  }

  override async multiGet(keys: readonly string[], timeoutMs: number = this.timeoutMs): Promise<Uint8Array[]> {
    return this.#until(
      () => this.#space.getAll(keys),
      timeoutMs,
      () => `multiGet: after ${timeoutMs} ms these keys are missing: ${listKeys(this.#space.missing(keys))}`,
    );
  }

  override async multiSet(keys: readonly string[], values: readonly StoreValue[]): Promise<void> {
    const pairs = keysWithValues(keys, values);
    const space = this.#open();
    for (const [key, value] of pairs) space.set(key, toBytes(value));
    this.#wake();
  }

  override async queuePush(key: string, value: StoreValue): Promise<void> {
    this.#open().push(key, toBytes(value));
    this.#wake();
  }

  override async queuePop(key: string, options: QueuePopOptions = {}): Promise<Uint8Array> {
    const { block, timeoutMs } = popOptions(this, options);
    if (!block && this.#open().queueLength(key) === 0) throw new StoreError(`queuePop: the queue "${key}" is empty`);
    return this.#until(
      () => this.#space.pop(key),
      timeoutMs,
      () => `queuePop: nothing was pushed to "${key}" within ${timeoutMs} ms`,
    );
  }

  override async queueLen(key: string): Promise<number> {
    return this.#open().queueLength(key);
  }

  /** Ends the store: pending waits and later calls reject with StoreError. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const waiter of [...this.#waiters]) waiter.reject(new StoreError("the store was closed"));
  }

  #open(): KeySpace {
    if (this.#closed) throw new StoreError("the store is closed");
    return this.#space;
  }

  /** Those who came first are served first. */
  #wake(): void {
    for (const waiter of this.#waiters) if (waiter.attempt()) this.#waiters.delete(waiter);
  }

  /** Resolves with the first value that `take` returns. */
  #until<T>(take: () => T | undefined, timeoutMs: number, timeoutText: () => string): Promise<T> {
    storeWaitOf(timeoutMs);
    this.#open();
    const now = take();
    if (now !== undefined) return Promise.resolve(now);
    return new Promise((resolve, reject) => {
      const timer = startTimer(timeoutMs, () => waiter.reject(new TimeoutError(timeoutText())));
      const waiter: Waiter = {
        attempt: () => {
          const value = take();
          if (value === undefined) return false;
          timer.cancel();
          resolve(value);
          return true;
        },
        reject: (error) => {
          timer.cancel();
          this.#waiters.delete(waiter);
          reject(error);
        },
      };
      this.#waiters.add(waiter);
    });
  }
}
