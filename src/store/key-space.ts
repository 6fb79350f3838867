/** KeySpace: the contents of a store, and the effect of each write. No waiting, no clock, no input or output. */
import { StoreError } from "../errors.ts";
import { decodeUtf8 } from "../support/utf8.ts";
import { equalBytes } from "./store.ts";

const COUNTER = /^-?\d+$/;

/** Keys with their values, and queues, which are a space of their own. Values are copied in and never changed. */
export class KeySpace {
  readonly #values = new Map<string, Uint8Array>();
  readonly #queues = new Map<string, Uint8Array[]>();

  get size(): number {
    return this.#values.size;
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  get(key: string): Uint8Array | undefined {
    return this.#values.get(key);
  }

  /** Those of `keys` that are not there. */
  missing(keys: readonly string[]): string[] {
    return keys.filter((key) => !this.#values.has(key));
  }

  /** Copies of the values of all `keys`; undefined if one is not there. */
  getAll(keys: readonly string[]): Uint8Array[] | undefined {
    if (this.missing(keys).length > 0) return undefined;
    return keys.flatMap((key) => this.#values.get(key)?.slice() ?? []);
  }

  set(key: string, value: Uint8Array): void {
    this.#values.set(key, value.slice());
  }

  delete(key: string): boolean {
    return this.#values.delete(key);
  }

  append(key: string, tail: Uint8Array): void {
    const head = this.#values.get(key) ?? new Uint8Array(0);
    const joined = new Uint8Array(head.length + tail.length);
    joined.set(head);
    joined.set(tail, head.length);
    this.#values.set(key, joined);
  }

  /** Does compareSet write, and with which result? */
  compare(key: string, expected: Uint8Array, desired: Uint8Array): { write: boolean; result: Uint8Array } {
    const current = this.#values.get(key);
    if (!current) return expected.length === 0 ? { write: true, result: desired } : { write: false, result: expected };
    return equalBytes(current, expected) ? { write: true, result: desired } : { write: false, result: current };
  }

  /**
   * The value of a counter after adding.
   * @throws StoreError if the key does not hold a counter, or the sum is not a safe integer.
   */
  sum(key: string, amount: number): number {
    const current = this.#values.get(key);
    const text = current ? decodeUtf8(current) : "0";
    if (!COUNTER.test(text)) throw new StoreError(`add: the key "${key}" does not hold a counter`);
    const sum = Number(text) + amount;
    if (!Number.isSafeInteger(sum))
      throw new StoreError(`add: the counter "${key}" would leave the range of safe integers`);
    return sum;
  }

  push(key: string, value: Uint8Array): void {
    const queue = this.#queues.get(key);
    if (queue) queue.push(value.slice());
    else this.#queues.set(key, [value.slice()]);
  }

  pop(key: string): Uint8Array | undefined {
    const queue = this.#queues.get(key);
    const value = queue?.shift();
    if (queue?.length === 0) this.#queues.delete(key);
    return value;
  }

  queueLength(key: string): number {
    return this.#queues.get(key)?.length ?? 0;
  }
}

/** A list of keys for a message: the first ten, and how many more. */
export function listKeys(keys: readonly string[]): string {
  const shown = keys.slice(0, 10).map((key) => `"${key.slice(0, 200)}"`);
  return keys.length > 10 ? `${shown.join(", ")} and ${keys.length - 10} more` : shown.join(", ");
}
