/** KeySpace: the contents of a store, and the effect of each write. No waiting, no clock, no input or output. */
import { StoreError } from "../errors.ts";
import { decodeUtf8 } from "../support/utf8.ts";
import { checkAmount, isInt64, shown, toInt64 } from "./counter.ts";
import { type CounterValue, equalBytes } from "./store.ts";

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

  /**
   * Tells the first of `keys` that it finds missing, or null if all are there. It goes on where it stopped, so that a wait for
   * keys that come one after the other looks at each of them twice.
   */
  looker(keys: readonly string[]): () => string | null {
    let at = 0;
    return () => {
      for (let seen = 0; seen < keys.length; seen++, at = (at + 1) % keys.length) {
        const key = keys[at]!;
        if (!this.#values.has(key)) return key;
      }
      return null;
    };
  }

  /** All keys. */
  keys(): IterableIterator<string> {
    return this.#values.keys();
  }

  /** Copies of the values of all `keys`; undefined if one is not there. */
  getAll(keys: readonly string[]): Uint8Array[] | undefined {
    if (this.missing(keys).length > 0) return undefined;
    return keys.flatMap((key) => this.#values.get(key)?.slice() ?? []);
  }

  set(key: string, value: Uint8Array): void {
    this.#values.set(key, copyOf(value));
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
   * The value of a counter after adding, of the amount's own type.
   * @throws as `Store.add` does.
   */
  sum<N extends number | bigint>(key: string, amount: N): CounterValue<N> {
    checkAmount(key, amount);
    const current = this.#values.get(key);
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
    const queue = this.#queues.get(key);
    if (queue) queue.push(copyOf(value));
    else this.#queues.set(key, [copyOf(value)]);
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
