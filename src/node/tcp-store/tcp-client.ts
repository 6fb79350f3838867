/**
 * TcpClient: queries to a TCPStore's server, as many at a time as the caller makes.
 *
 * The first connection carries everything that is answered at once, in the order in which it was asked. Replies have no
 * numbers, so a wait would leave the meaning of later ones open; each wait that is not over at once has a connection of its
 * own while it lasts. A server answers a query that it refuses, such as an add to a text that is no counter, by closing the
 * connection; nothing is sent behind an add until it is answered, so nothing else is lost by that.
 */
import { StoreError, TimeoutError } from "../../errors.ts";
import { KeySpace } from "../../store/key-space.ts";
import { Deadlines } from "../../support/deadlines.ts";
import { urlHost } from "../../support/host.ts";
import { textOf } from "../../support/thrown.ts";
import { Connection, ConnectionLost, type Target } from "./connection.ts";
import { Gate } from "./gate.ts";
import {
  type Dialect,
  encodeQuery,
  MAX_KEY_BYTES,
  MAX_VALUE_BYTES,
  Op,
  READY,
  STOP_WAITING,
  WAIT_CANCELED,
} from "./queries.ts";
import { byteReply, integerReply, type Reply, stringReply } from "./replies.ts";

/** How much longer than a call may take its reply is waited for, in milliseconds. */
const GRACE_MS = 5_000;
/** Most connections of waits that are over which are kept for others. */
const MOST_IDLE = 4;

/** Where the server is, and how long it may take to appear. */
export interface TcpClientOptions {
  readonly host: string;
  readonly port: number;
  readonly timeoutMs: number;
}

/** A client of one server. */
export class TcpClient {
  readonly #target: Target;
  readonly #gate = new Gate();
  readonly #idle: Connection[] = [];
  #main: Connection;
  /** How long a reply may take; the store sets it. */
  timeoutMs: number;

  private constructor(target: Target, main: Connection, timeoutMs: number) {
    this.#target = target;
    this.#main = main;
    this.timeoutMs = timeoutMs;
  }

  /** @throws as {@link Connection.open}. */
  static async connect({ host, port, timeoutMs }: TcpClientOptions): Promise<TcpClient> {
    const target: Target = { host, port, deadlines: new Deadlines(), closers: new Set(), closed: null };
    return new TcpClient(target, await Connection.open(target, timeoutMs), timeoutMs);
  }

  get dialect(): Dialect {
    return this.#main.dialect;
  }

  /** Sends a query that has no reply; resolves when there is room for more. */
  tell(op: Op, strings: readonly Uint8Array[]): Promise<void> {
    return this.#inOrder(this.#encode(op, strings), (query) => this.#main.tell(query));
  }

  /** Sends a query, and resolves with its reply. */
  ask<T>(op: Op, strings: readonly Uint8Array[], reply: Reply<T>): Promise<T> {
    return this.#inOrder(this.#encode(op, strings), (query) => this.#ask(query, reply));
  }

  /**
   * Adds to a counter.
   * @throws StoreError as `Store.add` does; a sum that a number would round is taken back.
   */
  async add<N extends number | bigint>(name: string, key: Uint8Array, amount: N): Promise<N> {
    const query = this.#encode(Op.ADD, [key], BigInt(amount));
    return this.#inOrder(query, async () => {
      this.#gate.shut();
      try {
        const sum = await this.#ask(query, integerReply());
        if (typeof amount === "bigint") return sum as N;
        if (Number.isSafeInteger(Number(sum))) return Number(sum) as N;
        const before = sum - BigInt(amount);
        await this.#ask(this.#encode(Op.ADD, [key], -BigInt(amount)), integerReply());
        throw refusalOf(name, String(before), amount);
      } catch (error) {
        throw error instanceof ConnectionLost ? await this.#refused(name, key, amount, error) : error;
      } finally {
        this.#gate.open();
      }
    });
  }

  /** Are all keys there? */
  async check(keys: readonly Uint8Array[]): Promise<boolean> {
    return (await this.ask(Op.CHECK, keys, byteReply())) === READY;
  }

  /** Waits until all keys are there, or a queue of that name holds a value: false after `timeoutMs`. */
  async wait(keys: readonly Uint8Array[], timeoutMs: number): Promise<boolean> {
    const query = this.#encode(Op.WAIT, keys);
    const connection = this.#idle.pop() ?? (await this.#connectAgain());
    const { deadlines } = this.#target;
    let isCanceled = false;
    const deadline = deadlines.set(timeoutMs, () => {
      isCanceled = true;
      // 1.x has no cancel. What its server may still say ends with the connection.
      if (connection.dialect === "1.x") connection.close(new TimeoutError("the wait is over"));
      else connection.send(encodeQuery(Op.CANCEL_WAIT, "2.x", []));
    });
    try {
      return await connection.ask(
        query,
        waitReply(() => isCanceled),
        timeoutMs + GRACE_MS,
      );
    } catch (error) {
      if (isCanceled && connection.dialect === "1.x" && !this.#target.closed) return false;
      throw error;
    } finally {
      deadlines.clear(deadline);
      if (this.#idle.length < MOST_IDLE && !connection.isClosed) this.#idle.push(connection);
      else connection.close();
    }
  }

  /** Sees that what was sent has come, then closes every connection: what is pending rejects. */
  async close(): Promise<void> {
    if (this.#target.closed) return;
    this.#target.closed = new StoreError("the store was closed");
    if (this.#main.unconfirmed > 0) {
      const reply = this.#main.ask(encodeQuery(Op.NUM_KEYS, this.dialect, []), integerReply(), GRACE_MS);
      // Whoever wrote has been told where the connection was lost; to close it is no further error.
      await reply.catch(() => {});
    }
    for (const close of [...this.#target.closers]) close(this.#target.closed);
  }

  #ask<T>(query: Buffer, reply: Reply<T>): Promise<T> {
    return this.#main.ask(query, reply, this.timeoutMs + GRACE_MS);
  }

  /** Runs `send` after everything that was asked before. */
  #inOrder<T>(query: Buffer, send: (query: Buffer) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#gate.pass(() => {
        if (this.#target.closed) reject(this.#target.closed);
        else send(query).then(resolve, reject);
      });
    });
  }

  /** A further connection: the server is there, or it is gone. */
  async #connectAgain(): Promise<Connection> {
    try {
      return await Connection.greet(this.#target, this.dialect, GRACE_MS);
    } catch (cause) {
      const { closed, host, port } = this.#target;
      throw (
        closed ??
        new StoreError(`no further connection to the TCPStore at ${urlHost(host)}:${port}: ${textOf(cause)}`, { cause })
      );
    }
  }

  /** The error of an add at which the connection closed: the server's refusal, or else the loss. */
  async #refused(name: string, key: Uint8Array, amount: number | bigint, lost: ConnectionLost): Promise<Error> {
    if (this.#target.closed) return this.#target.closed;
    try {
      const main = await this.#connectAgain();
      const isThere = await main.ask(encodeQuery(Op.CHECK, main.dialect, [key]), byteReply(), GRACE_MS);
      if (isThere !== READY) return lost;
      const value = await main.ask(encodeQuery(Op.GET, main.dialect, [key]), stringReply(), GRACE_MS);
      const refusal = refusalOf(name, value, amount);
      if (refusal) this.#main = main;
      else main.close();
      return refusal ?? lost;
    } catch {
      return lost;
    }
  }

  #encode(op: Op, strings: readonly Uint8Array[], integer?: bigint): Buffer {
    const long = strings.find(({ length }) => length > MAX_VALUE_BYTES);
    if (long)
      throw new RangeError(`a value of ${long.length} bytes is too long for a TcpStore: at most ${MAX_VALUE_BYTES}`);
    if (strings[0] && strings[0].length > MAX_KEY_BYTES) {
      throw new RangeError(`a key of ${strings[0].length} bytes is too long for a TcpStore: at most ${MAX_KEY_BYTES}`);
    }
    return encodeQuery(op, this.dialect, strings, integer);
  }
}

/** True if the wait ended because all came, false if it was canceled. A cancel may cross the wait's end; then both are told. */
function waitReply(isCanceled: () => boolean): Reply<boolean> {
  let isOver = false;
  return (bytes) => {
    while (bytes.length > 0) {
      const reply = bytes.takeByte();
      if (reply === WAIT_CANCELED) return isOver;
      if (reply !== STOP_WAITING) throw new StoreError(`a wait ended with ${reply}`);
      isOver = true;
      if (!isCanceled()) return true;
    }
    return undefined;
  };
}

/** Why a counter of this value cannot be added to; null if it can. */
function refusalOf(name: string, value: string | Uint8Array, amount: number | bigint): Error | null {
  const space = new KeySpace();
  space.set(name, typeof value === "string" ? new TextEncoder().encode(value) : value);
  try {
    space.sum(name, amount);
    return null;
  } catch (error) {
    return error as Error;
  }
}
