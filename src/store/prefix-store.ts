/** PrefixStore: a part of another store, whose keys all begin with "prefix/". */
import type { QueuePopOptions } from "../options.ts";
import { type CounterValue, Store, type StoreValue } from "./store.ts";

/**
 * Sees `store` through a prefix. Prefixes nest: in `new PrefixStore("b", new PrefixStore("a", store))` a key is "a/b/key".
 * `timeoutMs` is the store's own. `numKeys` counts the keys of the whole store, and `close` leaves it open.
 */
export class PrefixStore extends Store {
  /** In the store below, keys begin with this and a slash. */
  readonly prefix: string;
  /** The store given to the constructor. */
  readonly underlyingStore: Store;

  /** @throws TypeError if `store` is no store or `prefix` no string. */
  constructor(prefix: string, store: Store) {
    super();
    if (typeof prefix !== "string") throw new TypeError(`PrefixStore: prefix must be a string, got ${typeof prefix}`);
    if (store === null || typeof store !== "object")
      throw new TypeError(`PrefixStore: store must be a Store, got ${store}`);
    this.prefix = prefix;
    this.underlyingStore = store;
  }

  /** The first store below that is not a PrefixStore. */
  get innermostStore(): Store {
    let store = this.underlyingStore;
    while (store instanceof PrefixStore) store = store.underlyingStore;
    return store;
  }

  override get timeoutMs(): number {
    return this.underlyingStore.timeoutMs;
  }

  override set timeoutMs(timeoutMs: number) {
    this.underlyingStore.timeoutMs = timeoutMs;
  }

  set(key: string, value: StoreValue): Promise<void> {
    return this.underlyingStore.set(this.#name(key), value);
  }

  get(key: string): Promise<Uint8Array> {
    return this.underlyingStore.get(this.#name(key));
  }

  compareSet(key: string, expected: StoreValue, desired: StoreValue): Promise<Uint8Array> {
    return this.underlyingStore.compareSet(this.#name(key), expected, desired);
  }

  add<N extends number | bigint>(key: string, amount: N): Promise<CounterValue<N>> {
    return this.underlyingStore.add(this.#name(key), amount);
  }

  check(keys: readonly string[]): Promise<boolean> {
    return this.underlyingStore.check(this.#names(keys));
  }

  wait(keys: readonly string[], timeoutMs?: number): Promise<void> {
    return this.underlyingStore.wait(this.#names(keys), timeoutMs);
  }

  deleteKey(key: string): Promise<boolean> {
    return this.underlyingStore.deleteKey(this.#name(key));
  }

  numKeys(): Promise<number> {
    return this.underlyingStore.numKeys();
  }

  /** Does nothing: the store below belongs to whoever made it. */
  async close(): Promise<void> {}

  override hasExtendedApi(): boolean {
    return this.underlyingStore.hasExtendedApi();
  }

  override append(key: string, value: StoreValue): Promise<void> {
    return this.underlyingStore.append(this.#name(key), value);
  }

  override multiGet(keys: readonly string[]): Promise<Uint8Array[]> {
    return this.underlyingStore.multiGet(this.#names(keys));
  }

  override multiSet(keys: readonly string[], values: readonly StoreValue[]): Promise<void> {
    return this.underlyingStore.multiSet(this.#names(keys), values);
  }

  override queuePush(key: string, value: StoreValue): Promise<void> {
    return this.underlyingStore.queuePush(this.#name(key), value);
  }

  override queuePop(key: string, options?: QueuePopOptions): Promise<Uint8Array> {
    return this.underlyingStore.queuePop(this.#name(key), options);
  }

  override queueLen(key: string): Promise<number> {
    return this.underlyingStore.queueLen(this.#name(key));
  }

  #name(key: string): string {
    return `${this.prefix}/${key}`;
  }

  #names(keys: readonly string[]): string[] {
    return keys.map((key) => this.#name(key));
  }
}
