/** A store's calls by name, as they come from elsewhere: over a hub's socket, or from a page's worker. */

import { ProtocolError, StoreError, WebcclError } from "../errors.ts";
import { textOf } from "../support/thrown.ts";
import { toInt64 } from "./counter.ts";
import type { SpaceStore } from "./space-store.ts";

/** Longest key, in UTF-16 units. */
const MAX_KEY_LENGTH = 4_096;

/** Arguments in order, each checked as it is taken. */
class Arguments {
  readonly #values: readonly unknown[];
  #next = 0;

  constructor(values: readonly unknown[]) {
    this.#values = values;
  }

  key(): string {
    return asKey(this.#values[this.#next++]);
  }

  keys(): string[] {
    return this.#array().map(asKey);
  }

  bytes(): Uint8Array {
    return asBytes(this.#values[this.#next++]);
  }

  allBytes(): Uint8Array[] {
    return this.#array().map(asBytes);
  }

  number(): number {
    const value = this.#values[this.#next++];
    if (typeof value !== "number") throw new ProtocolError("a store call's argument must be a number");
    return value;
  }

  /** A number, or the decimal text that stands for a bigint. */
  amount(): number | bigint {
    const value = this.#values[this.#next++];
    if (typeof value === "number") return value;
    const big = toInt64(value);
    if (big !== null) return big;
    throw new ProtocolError("what a store call adds must be a number, or the decimal text of a 64-bit integer");
  }

  boolean(): boolean {
    return this.#values[this.#next++] === true;
  }

  #array(): readonly unknown[] {
    const value = this.#values[this.#next++];
    if (!Array.isArray(value))
      throw new ProtocolError(`the keys and values of a store's call must be lists, such as ["key"]`);
    return value;
  }
}

function asKey(value: unknown): string {
  if (typeof value !== "string" || value.length > MAX_KEY_LENGTH) {
    throw new ProtocolError(`a key must be a string of at most ${MAX_KEY_LENGTH}`);
  }
  return value;
}

function asBytes(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array)) throw new ProtocolError("a stored value must be bytes");
  return value;
}

const CALLS = {
  set: (store, args) => store.set(args.key(), args.bytes()),
  get: (store, args) => store.get(args.key(), args.number()),
  compareSet: (store, args) => store.compareSet(args.key(), args.bytes(), args.bytes()),
  add: async (store, args) => {
    const sum = await store.add(args.key(), args.amount());
    return typeof sum === "bigint" ? String(sum) : sum;
  },
  check: (store, args) => store.check(args.keys()),
  wait: (store, args) => store.wait(args.keys(), args.number()),
  deleteKey: (store, args) => store.deleteKey(args.key()),
  numKeys: (store) => store.numKeys(),
  append: (store, args) => store.append(args.key(), args.bytes()),
  multiGet: (store, args) => store.multiGet(args.keys(), args.number()),
  multiSet: (store, args) => store.multiSet(args.keys(), args.allBytes()),
  queuePush: (store, args) => store.queuePush(args.key(), args.bytes()),
  queuePop: (store, args) => store.queuePop(args.key(), { block: args.boolean(), timeoutMs: args.number() }),
  queueLen: (store, args) => store.queueLen(args.key()),
} as const satisfies Record<string, (store: SpaceStore, args: Arguments) => Promise<unknown>>;

/** The name of a call. */
export type StoreOp = keyof typeof CALLS;
export const STORE_OPS = Object.keys(CALLS) as StoreOp[];

/**
 * Runs one call.
 * @throws ProtocolError for a wrong argument; any error of the store.
 */
export async function runStoreOp(store: SpaceStore, op: StoreOp, args: readonly unknown[]): Promise<unknown> {
  return CALLS[op](store, new Arguments(args));
}

/** The error that the caller is told. */
export function storeErrorOf(error: unknown): WebcclError {
  return error instanceof WebcclError ? error : new StoreError(textOf(error));
}
