/** Store calls that members make over their link: { type: "call", id, op, args } → { type: "result", id, ok or error }. */
import { ProtocolError, StoreError, toWireError, WebcclError } from "../errors.ts";
import type { HashStore } from "../store/hash-store.ts";
import { expectArray, expectInteger, expectOneOf, type Fields } from "../transport/schema.ts";

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

  boolean(): boolean {
    return this.#values[this.#next++] === true;
  }

  #array(): readonly unknown[] {
    const value = this.#values[this.#next++];
    if (!Array.isArray(value)) throw new ProtocolError("a store call's argument must be an array");
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
  add: (store, args) => store.add(args.key(), args.number()),
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
} as const satisfies Record<string, (store: HashStore, args: Arguments) => Promise<unknown>>;

/** The operations of a store that cross the wire. */
export type StoreOp = keyof typeof CALLS;
const OPS = Object.keys(CALLS) as StoreOp[];

/**
 * Runs one call and hands its result to `reply`, also when the store refuses it.
 * @throws ProtocolError if the message is no store call.
 */
export function runStoreCall(
  store: HashStore,
  message: Fields,
  maxBytes: number,
  reply: (result: object) => void,
): void {
  const id = expectInteger(message, "id", 0, Number.MAX_SAFE_INTEGER);
  const run = CALLS[expectOneOf(message, "op", OPS)];
  const args = new Arguments(expectArray(message, "args"));
  void (async () => run(store, args))().then(
    (value) => {
      const byteLength = valueBytes(value);
      if (byteLength <= maxBytes - RESULT_OVERHEAD_BYTES) return reply({ type: "result", id, ok: value ?? null });
      const error = new StoreError(`the value has ${byteLength} bytes, more than one message of this hub carries`);
      reply({ type: "result", id, error: toWireError(error) });
    },
    (error: unknown) => {
      const known =
        error instanceof WebcclError ? error : new StoreError(error instanceof Error ? error.message : String(error));
      reply({ type: "result", id, error: toWireError(known) });
    },
  );
}

/** Room for the frame's header, the map around a result, and the lengths of its values. */
const RESULT_OVERHEAD_BYTES = 65_536;

function valueBytes(value: unknown): number {
  if (value instanceof Uint8Array) return value.byteLength;
  return Array.isArray(value) ? value.reduce((sum: number, item) => sum + valueBytes(item), 0) : 0;
}
