/**
 * RedisStore: a store in a Redis server that the caller runs, over the caller's own client.
 *
 *   {prefix}:keys         a hash: each key of the store with its value
 *   {prefix}:queue:name   a list for each queue
 *
 * A call is one command or one script, so it is atomic. Who waits looks again after 2 ms, then after longer and longer pauses up
 * to 50 ms; a write of the same object wakes it at once.
 */
import { StoreError, TimeoutError } from "../../errors.ts";
import { checkOptions, type OptionNames } from "../../option-checks.ts";
import type { QueuePopOptions } from "../../options.ts";
import { checkAmount, toInt64 } from "../../store/counter.ts";
import { KeySpace, listKeys } from "../../store/key-space.ts";
import { type CounterValue, keysWithValues, popOptions, Store, type StoreValue, toBytes } from "../../store/store.ts";
import { now, startTimer } from "../../support/clock.ts";
import { textOf } from "../../support/thrown.ts";
import { storeWaitOf } from "../../support/timeouts.ts";
import { decodeUtf8 } from "../../support/utf8.ts";
import { ADD, APPEND, COMPARE_SET, MISSING } from "./scripts.ts";

const FIRST_POLL_MS = 2;
const LAST_POLL_MS = 50;
/** How much longer than a call may take a reply is waited for, in milliseconds. */
const GRACE_MS = 5_000;

/** A connected client of the package `redis`, 4 or later, in the part that is used. A cluster's client is none. */
export interface RedisClientLike {
  /** Sends one command of Redis, its name first, and resolves to the reply. */
  sendCommand(command: readonly (string | Uint8Array)[], options?: object): Promise<unknown>;
}

/** Options of a RedisStore. */
export interface RedisStoreOptions {
  /** Keeps this store apart from whatever else is on the server; stores with the same prefix are one. Default: "webccl". */
  prefix?: string;
}

const REDIS_STORE_OPTIONS: OptionNames<RedisStoreOptions> = { prefix: true };

/** Replies are bytes: by the option of version 4, and by that of later ones, for which 36 means a string of bytes. */
const BYTES = { returnBuffers: true, typeMapping: { 36: Buffer } };

/** Keys stay on the server until they are deleted. `close` leaves the client open: it is the caller's. */
export class RedisStore extends Store {
  /** How the names of this store's keys in Redis begin. */
  readonly prefix: string;
  readonly #client: RedisClientLike;
  readonly #sleepers = new Set<() => void>();
  #closed = false;

  /** @throws TypeError if `client` has no `sendCommand`, or `prefix` is no string. */
  constructor(client: RedisClientLike, options: RedisStoreOptions = {}) {
    super();
    checkOptions("RedisStore", REDIS_STORE_OPTIONS, options);
    const { prefix = "webccl" } = options;
    if (typeof client?.sendCommand !== "function") {
      throw new TypeError(
        "RedisStore: client must be a connected client of the package redis: await createClient().connect()",
      );
    }
    if (typeof prefix !== "string") throw new TypeError(`RedisStore: prefix must be a string, got ${typeof prefix}`);
    this.prefix = prefix;
    this.#client = client;
  }

  async set(key: string, value: StoreValue): Promise<void> {
    await this.#write(["HSET", this.#hash, toBytes(key), toBytes(value)]);
  }

  async get(key: string): Promise<Uint8Array> {
    const timeoutMs = this.timeoutMs;
    return this.#until(
      async () => asBytes(await this.#send(["HGET", this.#hash, toBytes(key)])),
      timeoutMs,
      async () => `get: the key "${key}" was not set within ${timeoutMs} ms`,
    );
  }

  async compareSet(key: string, expected: StoreValue, desired: StoreValue): Promise<Uint8Array> {
    return bytesOf(await this.#run(COMPARE_SET, [toBytes(key), toBytes(expected), toBytes(desired)]));
  }

  async add<N extends number | bigint>(key: string, amount: N): Promise<CounterValue<N>> {
    checkAmount(key, amount);
    const big = BigInt(amount);
    const args = [toBytes(key), String(big), String(-big), typeof amount === "number" ? "1" : "0"];
    for (let again = false; ; again = true) {
      try {
        const sum = decodeUtf8(bytesOf(await this.#run(ADD, args)));
        return (typeof amount === "bigint" ? BigInt(sum) : Number(sum)) as CounterValue<N>;
      } catch (error) {
        const isRefusal = error instanceof StoreError && /integer|overflow|rounded/.test(error.message);
        if (!isRefusal || again || !(await this.#respell(key, amount))) throw error;
      }
    }
  }

  async check(keys: readonly string[]): Promise<boolean> {
    return (await this.#missing(keys)).length === 0;
  }

  async wait(keys: readonly string[], timeoutMs: number = this.timeoutMs): Promise<void> {
    await this.#until(
      async () => ((await this.check(keys)) ? true : undefined),
      timeoutMs,
      async () => `wait: after ${timeoutMs} ms these keys are missing: ${listKeys(await this.#missing(keys))}`,
    );
  }

  async deleteKey(key: string): Promise<boolean> {
    return Number(await this.#send(["HDEL", this.#hash, toBytes(key)])) > 0;
  }

  async numKeys(): Promise<number> {
    return Number(await this.#send(["HLEN", this.#hash]));
  }

  override hasExtendedApi(): boolean {
    return true;
  }

  override async append(key: string, value: StoreValue): Promise<void> {
    await this.#run(APPEND, [toBytes(key), toBytes(value)]);
  }

  override async multiGet(keys: readonly string[]): Promise<Uint8Array[]> {
    if (keys.length === 0) return [];
    const timeoutMs = this.timeoutMs;
    return this.#until(
      async () => {
        if (!(await this.check(keys))) return undefined;
        const values = await this.#send(["HMGET", this.#hash, ...keys.map(toBytes)]);
        const found = Array.isArray(values) ? values.map(asBytes) : [];
        return found.every((value) => value !== undefined) ? found : undefined;
      },
      timeoutMs,
      async () => `multiGet: after ${timeoutMs} ms these keys are missing: ${listKeys(await this.#missing(keys))}`,
    );
  }

  override async multiSet(keys: readonly string[], values: readonly StoreValue[]): Promise<void> {
    const pairs = keysWithValues(keys, values).flatMap(([key, value]) => [toBytes(key), toBytes(value)]);
    if (pairs.length > 0) await this.#write(["HSET", this.#hash, ...pairs]);
  }

  override async queuePush(key: string, value: StoreValue): Promise<void> {
    await this.#write(["RPUSH", this.#queue(key), toBytes(value)]);
  }

  override async queuePop(key: string, options: QueuePopOptions = {}): Promise<Uint8Array> {
    const { block, timeoutMs } = popOptions(this, options);
    const pop = async () => asBytes(await this.#send(["LPOP", this.#queue(key)]));
    if (block)
      return this.#until(pop, timeoutMs, async () => `queuePop: nothing was pushed to "${key}" within ${timeoutMs} ms`);
    const value = await pop();
    if (value === undefined) throw new StoreError(`queuePop: the queue "${key}" is empty`);
    return value;
  }

  override async queueLen(key: string): Promise<number> {
    return Number(await this.#send(["LLEN", this.#queue(key)]));
  }

  /** Ends this object's use of the store: pending waits reject with StoreError. The client stays open. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#wake();
  }

  /** The braces keep the hash and the queues on one machine of a cluster. */
  get #hash(): string {
    return `{${this.prefix}}:keys`;
  }

  #queue(key: string): Uint8Array {
    return toBytes(`{${this.prefix}}:queue:${key}`);
  }

  async #missing(keys: readonly string[]): Promise<string[]> {
    const missing = await this.#run(MISSING, keys.map(toBytes));
    return Array.isArray(missing) ? missing.map((number) => keys[Number(number) - 1]!) : [];
  }

  /**
   * Writes a counter as Redis spells it, which refuses leading zeros; true if the key now holds one.
   * @throws StoreError if the key holds none, or the sum cannot be had, as `Store.add` does.
   */
  async #respell(key: string, amount: number | bigint): Promise<boolean> {
    const value = asBytes(await this.#send(["HGET", this.#hash, toBytes(key)]));
    if (value === undefined) return true;
    const space = new KeySpace();
    space.set(key, value);
    space.sum(key, amount);
    const text = decodeUtf8(value);
    await this.compareSet(key, value, String(toInt64(text)));
    return true;
  }

  async #run(script: string, args: readonly (string | Uint8Array)[]): Promise<unknown> {
    return this.#write(["EVAL", script, "1", this.#hash, ...args]);
  }

  /** A command that may have written. */
  async #write(command: readonly (string | Uint8Array)[]): Promise<unknown> {
    const reply = await this.#send(command);
    this.#wake();
    return reply;
  }

  /** Sends a command. @throws StoreError if the server refuses it or is out of reach; TimeoutError if no reply comes. */
  async #send(command: readonly (string | Uint8Array)[]): Promise<unknown> {
    if (this.#closed) throw new StoreError("the store is closed");
    const limitMs = this.timeoutMs + GRACE_MS;
    const bytes = command.map((word) => (typeof word === "string" ? word : Buffer.from(word)));
    return new Promise((resolve, reject) => {
      const timer = startTimer(limitMs, () => {
        reject(new TimeoutError(`Redis did not answer ${String(command[0])} within ${limitMs} ms`));
      });
      const refuse = (cause: unknown) => {
        reject(new StoreError(`Redis refused ${String(command[0])}: ${textOf(cause)}`, { cause }));
      };
      this.#client
        .sendCommand(bytes, BYTES)
        .then(resolve, refuse)
        .finally(() => timer.cancel());
    });
  }

  /** Resolves with the first value that `look` finds. */
  async #until<T>(
    look: () => Promise<T | undefined>,
    timeoutMs: number,
    timeoutText: () => Promise<string>,
  ): Promise<T> {
    storeWaitOf(timeoutMs);
    const deadline = now() + timeoutMs;
    for (let pollMs = FIRST_POLL_MS; ; pollMs = Math.min(pollMs * 1.5, LAST_POLL_MS)) {
      const value = await look();
      if (value !== undefined) return value;
      const leftMs = deadline - now();
      if (leftMs <= 0) throw new TimeoutError(await timeoutText());
      await this.#sleep(Math.min(pollMs, leftMs));
    }
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        timer.cancel();
        this.#sleepers.delete(wake);
        resolve();
      };
      const timer = startTimer(delayMs, wake);
      this.#sleepers.add(wake);
    });
  }

  #wake(): void {
    for (const wake of [...this.#sleepers]) wake();
  }
}

/** The bytes of a reply, in memory of their own; undefined for none. */
function asBytes(reply: unknown): Uint8Array | undefined {
  return reply instanceof Uint8Array ? new Uint8Array(reply) : undefined;
}

function bytesOf(reply: unknown): Uint8Array {
  const bytes = asBytes(reply);
  if (bytes === undefined) throw new StoreError("Redis answered with something that is no string");
  return bytes;
}
