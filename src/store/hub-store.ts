/** HubStore: the store that a hub keeps for a group, over the group's link to it. Browsers use it. */
import { StoreError } from "../errors.ts";
import type { QueuePopOptions } from "../options.ts";
import { storeWaitOf } from "../support/timeouts.ts";
import { checkAmount, toInt64 } from "./counter.ts";
import { type CounterValue, keysWithValues, popOptions, Store, type StoreValue, toBytes } from "./store.ts";

/** Asks the hub, as `HubConnection` does. Rejects after `timeoutMs` if no answer has come. */
export interface StoreCaller {
  call(op: string, args: readonly unknown[], timeoutMs: number): Promise<unknown>;
}

/** How much longer than the hub a caller waits, so that the hub's own timeout, which names the keys, comes first. */
const GRACE_MS = 2_000;

/** Every call is one trip to the hub, and atomic there. */
export class HubStore extends Store {
  readonly #caller: StoreCaller;
  readonly #onClose: (() => void) | undefined;
  readonly #pending = new Set<(error: StoreError) => void>();
  #closed = false;

  /** `onClose` ends what the store alone uses. */
  constructor(caller: StoreCaller, onClose?: () => void) {
    super();
    this.#caller = caller;
    this.#onClose = onClose;
  }

  async set(key: string, value: StoreValue): Promise<void> {
    await this.#call("set", [key, toBytes(value)]);
  }

  async get(key: string): Promise<Uint8Array> {
    return asBytes(await this.#call("get", [key, this.timeoutMs]));
  }

  async compareSet(key: string, expected: StoreValue, desired: StoreValue): Promise<Uint8Array> {
    return asBytes(await this.#call("compareSet", [key, toBytes(expected), toBytes(desired)]));
  }

  async add<N extends number | bigint>(key: string, amount: N): Promise<CounterValue<N>> {
    checkAmount(key, amount);
    // A control message holds no bigint: one travels as its decimal text, and so does the answer to it.
    const isBig = typeof amount === "bigint";
    const sum = await this.#call("add", [key, isBig ? String(amount) : amount]);
    return (isBig ? asBigint(sum) : asNumber(sum)) as CounterValue<N>;
  }

  async check(keys: readonly string[]): Promise<boolean> {
    return (await this.#call("check", [keys])) === true;
  }

  async wait(keys: readonly string[], timeoutMs: number = this.timeoutMs): Promise<void> {
    await this.#call("wait", [keys, timeoutMs], timeoutMs);
  }

  async deleteKey(key: string): Promise<boolean> {
    return (await this.#call("deleteKey", [key])) === true;
  }

  async numKeys(): Promise<number> {
    return asNumber(await this.#call("numKeys", []));
  }

  override hasExtendedApi(): boolean {
    return true;
  }

  override async append(key: string, value: StoreValue): Promise<void> {
    await this.#call("append", [key, toBytes(value)]);
  }

  override async multiGet(keys: readonly string[]): Promise<Uint8Array[]> {
    const values = await this.#call("multiGet", [keys, this.timeoutMs]);
    if (!Array.isArray(values)) throw new StoreError("the hub answered multiGet with something that is no list");
    return values.map(asBytes);
  }

  override async multiSet(keys: readonly string[], values: readonly StoreValue[]): Promise<void> {
    const pairs = keysWithValues(keys, values);
    await this.#call("multiSet", [keys, pairs.map(([, value]) => toBytes(value))]);
  }

  override async queuePush(key: string, value: StoreValue): Promise<void> {
    await this.#call("queuePush", [key, toBytes(value)]);
  }

  override async queuePop(key: string, options: QueuePopOptions = {}): Promise<Uint8Array> {
    const { block, timeoutMs } = popOptions(this, options);
    return asBytes(await this.#call("queuePop", [key, block, timeoutMs], timeoutMs));
  }

  override async queueLen(key: string): Promise<number> {
    return asNumber(await this.#call("queueLen", [key]));
  }

  /** Ends this client's use of the store; a group's link to the hub stays open. Pending calls reject with StoreError. */
  async close(): Promise<void> {
    if (!this.#closed) this.#onClose?.();
    this.#closed = true;
    for (const reject of this.#pending) reject(new StoreError("the store was closed"));
    this.#pending.clear();
  }

  async #call(op: string, args: readonly unknown[], timeoutMs: number = this.timeoutMs): Promise<unknown> {
    storeWaitOf(timeoutMs);
    if (this.#closed) throw new StoreError("the store is closed");
    return new Promise((resolve, reject) => {
      this.#pending.add(reject);
      this.#caller
        .call(op, args, timeoutMs + GRACE_MS)
        .then(resolve, reject)
        .finally(() => this.#pending.delete(reject));
    });
  }
}

function asBytes(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array)) throw new StoreError("the hub answered with something that is not bytes");
  return value;
}

function asBigint(value: unknown): bigint {
  const counter = toInt64(value);
  if (counter === null) throw new StoreError("the hub answered with something that is no counter");
  return counter;
}

function asNumber(value: unknown): number {
  if (typeof value !== "number") throw new StoreError("the hub answered with something that is no number");
  return value;
}
