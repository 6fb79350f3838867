/**
 * LiveSpace: the contents of a store, and who waits for them. A call is done when it returns, so every call is atomic; each
 * write wakes those who wait for its key, and nobody else: a waiter is parked at one key that it lacks. Waiters that look for very many
 * keys take turns with everything else that the process serves: writes of one client, each of which wakes all of them, hold up no other.
 * Whoever was woken has looked before its key is taken away again: so nobody misses a write.
 */
import { now, startQuietTimer } from "../support/clock.ts";
import { KeySpace, type StoreQuota } from "./key-space.ts";
import type { CounterValue } from "./store.ts";

/** How long those that were woken look before others are served, in milliseconds. */
const LOOK_MS = 0.5;

/** Looks whether a waiter can be served, and serves it: null if it has been, else the key that it lacks. */
export type Look = () => string | null;

/** Keys with their values, queues, and waiters. Values are copied in and never changed. */
export class LiveSpace {
  readonly contents: KeySpace;
  readonly #parked = new Map<string, Set<Look>>();
  /** Those that were woken and have not looked yet, in the order in which they were. */
  readonly #woken = new Set<Look>();
  #isLooking = false;

  constructor(quota: StoreQuota | null = null) {
    this.contents = new KeySpace(quota);
  }

  set(key: string, value: Uint8Array): void {
    this.contents.set(key, value);
    this.#wake(key);
  }

  setAll(pairs: readonly (readonly [key: string, value: Uint8Array])[]): void {
    this.contents.setAll(pairs);
    for (const [key] of pairs) this.#wake(key);
  }

  append(key: string, value: Uint8Array): void {
    this.contents.append(key, value);
    this.#wake(key);
  }

  push(key: string, value: Uint8Array): void {
    this.contents.push(key, value);
    this.#wake(key);
  }

  /** Was there such a key? */
  delete(key: string): boolean {
    this.serve(key);
    return this.contents.delete(key);
  }

  /** As `Store.compareSet`; the result is not the caller's to change. */
  compareSet(key: string, expected: Uint8Array, desired: Uint8Array): Uint8Array {
    const { write, result } = this.contents.compare(key, expected, desired);
    if (!write) return result;
    this.set(key, desired);
    return this.contents.get(key)!;
  }

  /** @throws as `Store.add` does. */
  add<N extends number | bigint>(key: string, amount: N): CounterValue<N> {
    const sum = this.contents.sum(key, amount);
    this.set(key, new TextEncoder().encode(String(sum)));
    return sum;
  }

  /** Those that a write of `key` has woken look now. To be called before the key, or what its queue holds, is taken away. */
  serve(key: string): void {
    for (const look of this.#parked.get(key) ?? []) if (this.#woken.delete(look)) look();
  }

  /** Looks now, and after each write of the key that is lacking, until `look` returns null. Returns the end of waiting. */
  until(look: Look): () => void {
    let parkedAt: string | null = null;
    const again: Look = () => {
      const lacking = look();
      if (lacking !== parkedAt) {
        this.#remove(parkedAt, again);
        parkedAt = lacking;
        this.#park(lacking, again);
      }
      return lacking;
    };
    again();
    return () => {
      this.#woken.delete(again);
      this.#remove(parkedAt, again);
    };
  }

  #park(key: string | null, look: Look): void {
    if (key === null) return;
    const at = this.#parked.get(key);
    if (at) at.add(look);
    else this.#parked.set(key, new Set([look]));
  }

  #remove(key: string | null, look: Look): void {
    if (key === null) return;
    const at = this.#parked.get(key);
    at?.delete(look);
    if (at?.size === 0) this.#parked.delete(key);
  }

  /** Those who came first are served first. */
  #wake(key: string): void {
    const parked = this.#parked.get(key);
    if (!parked) return;
    for (const look of parked) this.#woken.add(look);
    if (!this.#isLooking) this.#lookForAWhile();
  }

  #lookForAWhile(): void {
    this.#isLooking = true;
    const end = now() + LOOK_MS;
    try {
      for (const look of this.#woken) {
        this.#woken.delete(look);
        look();
        if (now() >= end) break;
      }
    } finally {
      this.#isLooking = this.#woken.size > 0;
      if (this.#isLooking) startQuietTimer(0, () => this.#lookForAWhile());
    }
  }
}
