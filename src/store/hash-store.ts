/** HashStore: a store within one process. */
import type { QueuePopOptions } from "../options.ts";
import type { SpaceStore } from "./space-store.ts";
import { type CounterValue, ownBytes, popOptions, Store, type StoreValue } from "./store.ts";

/**
 * Values in this process's memory, for everyone who holds the object. Every call is atomic.
 *
 * The store itself is loaded with the first call. All calls await the one promise of it, so they run in the order in which they
 * were made; their arguments are copied before.
 */
export class HashStore extends Store {
  #loading: Promise<SpaceStore> | undefined;

  async set(key: string, value: StoreValue): Promise<void> {
    const own = ownBytes(value);
    return (await this.#space).set(key, own);
  }

  async get(key: string, timeoutMs: number = this.timeoutMs): Promise<Uint8Array> {
    return (await this.#space).get(key, timeoutMs);
  }

  async compareSet(key: string, expected: StoreValue, desired: StoreValue): Promise<Uint8Array> {
    const own = [ownBytes(expected), ownBytes(desired)] as const;
    return (await this.#space).compareSet(key, ...own);
  }

  async add<N extends number | bigint>(key: string, amount: N): Promise<CounterValue<N>> {
    return (await this.#space).add(key, amount);
  }

  async check(keys: readonly string[]): Promise<boolean> {
    const own = [...keys];
    return (await this.#space).check(own);
  }

  async wait(keys: readonly string[], timeoutMs: number = this.timeoutMs): Promise<void> {
    const own = [...keys];
    return (await this.#space).wait(own, timeoutMs);
  }

  async deleteKey(key: string): Promise<boolean> {
    return (await this.#space).deleteKey(key);
  }

  async numKeys(): Promise<number> {
    return (await this.#space).numKeys();
  }

  override hasExtendedApi(): boolean {
    return true;
  }

  override async append(key: string, value: StoreValue): Promise<void> {
    const own = ownBytes(value);
    return (await this.#space).append(key, own);
  }

  override async multiGet(keys: readonly string[], timeoutMs: number = this.timeoutMs): Promise<Uint8Array[]> {
    const own = [...keys];
    return (await this.#space).multiGet(own, timeoutMs);
  }

  override async multiSet(keys: readonly string[], values: readonly StoreValue[]): Promise<void> {
    const own = [...keys];
    const ownValues = values.map(ownBytes);
    return (await this.#space).multiSet(own, ownValues);
  }

  override async queuePush(key: string, value: StoreValue): Promise<void> {
    const own = ownBytes(value);
    return (await this.#space).queuePush(key, own);
  }

  override async queuePop(key: string, options: QueuePopOptions = {}): Promise<Uint8Array> {
    const own = popOptions(this, options);
    return (await this.#space).queuePop(key, own);
  }

  override async queueLen(key: string): Promise<number> {
    return (await this.#space).queueLen(key);
  }

  /** Ends the store: pending waits and later calls reject with StoreError. */
  async close(): Promise<void> {
    return (await this.#space).close();
  }

  get #space(): Promise<SpaceStore> {
    this.#loading ??= import("./space-store.ts").then(
      ({ SpaceStore }) => new SpaceStore(),
      (error) => {
        // The next call tries again.
        this.#loading = undefined;
        throw error;
      },
    );
    return this.#loading;
  }
}
