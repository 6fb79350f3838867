/** TcpStore: PyTorch's TCPStore, server and client, as a {@link Store}. */
import { StoreError, TimeoutError, UnsupportedError } from "../../errors.ts";
import { checkOptions, type OptionNames } from "../../option-checks.ts";
import { DEFAULT_TIMEOUT_MS, type Logger, type QueuePopOptions } from "../../options.ts";
import { checkAmount } from "../../store/counter.ts";
import { listKeys } from "../../store/key-space.ts";
import { type CounterValue, keysWithValues, popOptions, Store, type StoreValue, toBytes } from "../../store/store.ts";
import { now } from "../../support/clock.ts";
import { bareHost } from "../../support/host.ts";
import { storeWaitOf, timeLimitOf } from "../../support/timeouts.ts";
import { JOINED_KEY, Op } from "./queries.ts";
import { integerReply, popReply, stringReply, stringsReply } from "./replies.ts";
import { joinServer, type SharedServer } from "./shared-servers.ts";
import { TcpClient } from "./tcp-client.ts";

/** Options of `TcpStore.connect`. */
export interface TcpConnectOptions {
  /** The server's host name or address. Default: 127.0.0.1. */
  host?: string;
  /** The server's port. */
  port: number;
  /** How many processes use the store, the server's among them; absent or below 0: not fixed. */
  worldSize?: number;
  /** Milliseconds for connecting, and the `timeoutMs` of the store; 0 or Infinity for no timeout. Default: 300,000. */
  timeoutMs?: number;
  /** Tells the server that this process has come, if `worldSize` is fixed. Default: true. */
  waitForWorkers?: boolean;
}

/** Options of `TcpStore.listen`. */
export interface TcpListenOptions {
  /** The interface to bind. Default: 127.0.0.1. Another one needs `insecure`. */
  host?: string;
  /** The port to open; 0 picks a free one. Default: 0. */
  port?: number;
  /** How many processes use the store, this one among them; absent or below 0: not fixed. */
  worldSize?: number;
  /** Milliseconds for the others to come, and the `timeoutMs` of the store; 0 or Infinity for no timeout. Default: 300,000. */
  timeoutMs?: number;
  /** Waits, if `worldSize` is fixed, until so many processes have come. Default: true. */
  waitForWorkers?: boolean;
  /** Stores of this process with the same host and port share a server. Default: false. */
  multiTenant?: boolean;
  /** A socket that is bound to the port already, by its file descriptor. */
  masterListenFd?: number;
  /** What `libuvBackend` tells. Node's server is the same either way. Default: true. */
  useLibUv?: boolean;
  /** Allows a bind beyond loopback: a TCPStore has no secret and no TLS, so whoever reaches the port has the store. Default: false. */
  insecure?: boolean;
  /** Hears why the server closed a client's connection, which the wire cannot say. Default: nobody. */
  logger?: Logger;
}

const CONNECT_OPTIONS: OptionNames<TcpConnectOptions> = {
  ...{ host: true, port: true, worldSize: true, timeoutMs: true, waitForWorkers: true },
};
const LISTEN_OPTIONS: OptionNames<TcpListenOptions> = {
  ...CONNECT_OPTIONS,
  ...{ multiTenant: true, masterListenFd: true, useLibUv: true, insecure: true, logger: true },
};

/** How often a kind of call was made, and how long it took on average. */
export interface ClientCounter {
  /** How many calls were made. */
  readonly count: number;
  /** Milliseconds that a call took on average. */
  readonly meanMs: number;
}

/**
 * A store that PyTorch's processes share: the wire is that of TCPStore, both the one of PyTorch 2.x and, found out by the
 * first bytes, that of 1.x. `set`, `append`, `multiSet` and `queuePush` are not acknowledged, as in PyTorch: many are under
 * way at once, and `close` sees that they have come. On a server of 1.x `append` and the queues are built from its other calls.
 */
export class TcpStore extends Store {
  /** The server's host. */
  readonly host: string;
  /** The server's port. */
  readonly port: number;
  /** What `useLibUv` said; true for a store that connected. */
  readonly libuvBackend: boolean;
  readonly #client: TcpClient;
  readonly #server: SharedServer | null;
  readonly #counters = new Map<string, { count: number; totalMs: number }>();

  private constructor(
    host: string,
    client: TcpClient,
    port: number,
    server: SharedServer | null,
    libuvBackend: boolean,
  ) {
    super();
    this.host = host;
    this.port = port;
    this.libuvBackend = libuvBackend;
    this.#client = client;
    this.#server = server;
  }

  /**
   * Opens a port, with the store behind it, and a client of it. Neither keeps the process running.
   * @throws RangeError if the port is in use, the bind is not safe, or `worldSize` is 0; TimeoutError if fewer processes than
   *   `worldSize` have come within `timeoutMs`.
   */
  static async listen(options: TcpListenOptions = {}): Promise<TcpStore> {
    checkOptions("TcpStore.listen", LISTEN_OPTIONS, options);
    const { multiTenant = false, masterListenFd, useLibUv = true, insecure = false, logger } = options;
    const { host, worldSize, timeoutMs, joins } = settingsOf("TcpStore.listen", options);
    const port = portOf("TcpStore.listen", options.port ?? 0, 0);
    const server = await joinServer({ host, port, fd: masterListenFd, isShared: multiTenant, insecure, logger });
    try {
      // A wildcard is an address at which it listens, and nowhere to connect.
      const target = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
      const client = await TcpClient.connect({ host: target, port: server.port, timeoutMs });
      const store = new TcpStore(host, client, server.port, server, useLibUv);
      await store.#begin(timeoutMs, joins);
      if (joins) await server.joined(worldSize, timeoutMs);
      return store;
    } catch (error) {
      await server.leave();
      throw error;
    }
  }

  /**
   * Connects to a server: this library's, or PyTorch's.
   * @throws TimeoutError if no TCPStore answered within `timeoutMs`; ProtocolError if something else did; RangeError for a port
   *   or a `worldSize` that cannot be.
   */
  static async connect(options: TcpConnectOptions): Promise<TcpStore> {
    checkOptions("TcpStore.connect", CONNECT_OPTIONS, options);
    const { host, timeoutMs, joins } = settingsOf("TcpStore.connect", options);
    const port = portOf("TcpStore.connect", options.port, 1);
    const client = await TcpClient.connect({ host, port, timeoutMs });
    const store = new TcpStore(host, client, port, null, true);
    await store.#begin(timeoutMs, joins);
    return store;
  }

  async set(key: string, value: StoreValue): Promise<void> {
    await this.#timed("set", () => this.#client.tell(Op.SET, [wireKey(key), toBytes(value)]));
  }

  get(key: string): Promise<Uint8Array> {
    return this.#timed("get", async () => {
      await this.#arrive([key], this.timeoutMs, () => `get: the key "${key}" was not set within ${this.timeoutMs} ms`);
      return this.#client.ask(Op.GET, [wireKey(key)], stringReply());
    });
  }

  compareSet(key: string, expected: StoreValue, desired: StoreValue): Promise<Uint8Array> {
    const strings = [wireKey(key), toBytes(expected), toBytes(desired)];
    return this.#timed("compareSet", () => this.#client.ask(Op.COMPARE_SET, strings, stringReply()));
  }

  add<N extends number | bigint>(key: string, amount: N): Promise<CounterValue<N>> {
    return this.#timed("add", async () => {
      checkAmount(key, amount);
      return (await this.#client.add(key, wireKey(key), amount)) as unknown as CounterValue<N>;
    });
  }

  check(keys: readonly string[]): Promise<boolean> {
    return this.#timed("check", () => this.#client.check(keys.map(wireKey)));
  }

  async wait(keys: readonly string[], timeoutMs: number = this.timeoutMs): Promise<void> {
    storeWaitOf(timeoutMs);
    await this.#timed("wait", () => this.#arrive(keys, timeoutMs));
  }

  async deleteKey(key: string): Promise<boolean> {
    const deleted = this.#timed("deleteKey", () => this.#client.ask(Op.DELETE, [wireKey(key)], integerReply()));
    return (await deleted) > 0n;
  }

  /** How many keys there are. The count of the clients that came, where `worldSize` is fixed, is one of them. */
  async numKeys(): Promise<number> {
    return Number(await this.#timed("numKeys", () => this.#client.ask(Op.NUM_KEYS, [], integerReply())));
  }

  override hasExtendedApi(): boolean {
    return this.#client.dialect === "2.x";
  }

  override async append(key: string, value: StoreValue): Promise<void> {
    if (!this.hasExtendedApi()) return super.append(key, value);
    await this.#timed("append", () => this.#client.tell(Op.APPEND, [wireKey(key), toBytes(value)]));
  }

  override async multiGet(keys: readonly string[]): Promise<Uint8Array[]> {
    if (!this.hasExtendedApi()) return super.multiGet(keys);
    if (keys.length === 0) return [];
    return this.#timed("multiGet", async () => {
      await this.#arrive(keys, this.timeoutMs);
      return this.#client.ask(Op.MULTI_GET, keys.map(wireKey), stringsReply(keys.length));
    });
  }

  override async multiSet(keys: readonly string[], values: readonly StoreValue[]): Promise<void> {
    if (!this.hasExtendedApi()) return super.multiSet(keys, values);
    const strings = keysWithValues(keys, values).flatMap(([key, value]) => [wireKey(key), toBytes(value)]);
    await this.#timed("multiSet", () => this.#client.tell(Op.MULTI_SET, strings));
  }

  override async queuePush(key: string, value: StoreValue): Promise<void> {
    if (!this.hasExtendedApi()) return super.queuePush(key, value);
    await this.#timed("queuePush", () => this.#client.tell(Op.QUEUE_PUSH, [wireKey(key), toBytes(value)]));
  }

  override async queuePop(key: string, options: QueuePopOptions = {}): Promise<Uint8Array> {
    if (!this.hasExtendedApi()) return super.queuePop(key, options);
    const { block, timeoutMs } = popOptions(this, options);
    return this.#timed("queuePop", () => this.#pop(key, block, timeoutMs));
  }

  override async queueLen(key: string): Promise<number> {
    if (!this.hasExtendedApi()) return super.queueLen(key);
    return Number(await this.#timed("queueLen", () => this.#client.ask(Op.QUEUE_LEN, [wireKey(key)], integerReply())));
  }

  /**
   * All keys, in no order.
   * @throws UnsupportedError on a server of PyTorch 1.x, which does not tell them.
   */
  async listKeys(): Promise<string[]> {
    if (!this.hasExtendedApi())
      throw new UnsupportedError("listKeys: a TCPStore of PyTorch 1.x does not tell its keys");
    const keys = await this.#timed("listKeys", () => this.#client.ask(Op.LIST_KEYS, [], stringsReply()));
    return keys.map((key) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(key).replace(/^\//, ""));
  }

  /** The calls that this client has made, by name. */
  collectClientCounters(): Record<string, ClientCounter> {
    return Object.fromEntries(
      [...this.#counters].map(([name, { count, totalMs }]) => [name, { count, meanMs: totalMs / count }]),
    );
  }

  override get timeoutMs(): number {
    return super.timeoutMs;
  }

  override set timeoutMs(timeoutMs: number) {
    super.timeoutMs = timeoutMs;
    this.#client.timeoutMs = timeoutMs;
  }

  /**
   * Sees that every write has come, then ends this client; pending waits reject with StoreError. The server that `listen` opened
   * ends with it, or with the last store that shares it.
   */
  async close(): Promise<void> {
    await this.#client.close();
    await this.#server?.leave();
  }

  async #begin(timeoutMs: number, joins: boolean): Promise<void> {
    this.timeoutMs = timeoutMs;
    if (joins) await this.#client.add(JOINED_KEY, toBytes(JOINED_KEY), 1);
  }

  /** Waits until all keys are there. What is there already needs no wait, and no connection for one. */
  async #arrive(keys: readonly string[], timeoutMs: number, timeoutText?: () => string): Promise<void> {
    const names = keys.map(wireKey);
    if (await this.#client.check(names)) return;
    if (timeoutMs > 0 && (await this.#client.wait(names, timeoutMs))) return;
    const there = await Promise.all(names.map((name) => this.#client.check([name])));
    const missing = keys.filter((_, i) => !there[i]);
    throw new TimeoutError(
      timeoutText?.() ?? `wait: after ${timeoutMs} ms these keys are missing: ${listKeys(missing)}`,
    );
  }

  async #pop(key: string, block: boolean, timeoutMs: number): Promise<Uint8Array> {
    const name = wireKey(key);
    for (const deadline = now() + timeoutMs; ; ) {
      const value = await this.#client.ask(Op.QUEUE_POP, [name], popReply());
      if (value) return value;
      if (!block) throw new StoreError(`queuePop: the queue "${key}" is empty`);
      const leftMs = deadline - now();
      // Another client may take what this one was woken for.
      if (leftMs > 0 && (await this.#client.wait([name], leftMs))) continue;
      throw new TimeoutError(`queuePop: nothing was pushed to "${key}" within ${timeoutMs} ms`);
    }
  }

  async #timed<T>(name: string, call: () => Promise<T>): Promise<T> {
    const began = now();
    try {
      return await call();
    } finally {
      const counter = this.#counters.get(name) ?? { count: 0, totalMs: 0 };
      counter.count++;
      counter.totalMs += now() - began;
      this.#counters.set(name, counter);
    }
  }
}

/** The wire's name of a key: PyTorch's clients put a "/" before each. */
const wireKey = (key: string) => toBytes(`/${key}`);

/** What both functions take. `joins`: this process counts as one of `worldSize`. */
function settingsOf(where: string, options: Omit<TcpConnectOptions, "port">) {
  const { host = "127.0.0.1", worldSize = -1, timeoutMs = DEFAULT_TIMEOUT_MS, waitForWorkers = true } = options;
  if (typeof host !== "string" || host === "") throw new TypeError(`${where}: host must be a name or an address`);
  if (!Number.isInteger(worldSize) || worldSize === 0) {
    throw new RangeError(`${where}: worldSize is ${worldSize}: pass at least 1, or leave it out if it is not fixed`);
  }
  return {
    host: bareHost(host),
    worldSize,
    timeoutMs: timeLimitOf(timeoutMs, `${where}: timeoutMs`),
    joins: waitForWorkers && worldSize > 0,
  };
}

function portOf(where: string, port: number, least: number): number {
  if (Number.isInteger(port) && port >= least && port <= 65_535) return port;
  throw new RangeError(`${where}: port is ${port}: a whole number from ${least} to 65535 is needed`);
}
