/** Connection: a client's connection to a TCPStore's server. Queries go out as they are made; replies come in their order. */
import { connect, type Socket } from "node:net";
import { ProtocolError, StoreError, TimeoutError } from "../../errors.ts";
import { now, randomBytes, sleep } from "../../support/clock.ts";
import type { Deadline, Deadlines } from "../../support/deadlines.ts";
import { urlHost } from "../../support/host.ts";
import { ByteQueue } from "./byte-queue.ts";
import { type Dialect, encodeQuery, MAGIC, Op } from "./queries.ts";
import { integerReply, type Reply, u32Reply } from "./replies.ts";

/** Bytes that wait to be sent at which the next write waits, too. */
const HIGH_WATER_BYTES = 2 ** 20;
const FIRST_RETRY_MS = 20;
const LAST_RETRY_MS = 500;

/** The connection closed; the message says to where. */
export class ConnectionLost extends StoreError {}

/** A query whose reply has not come whole. */
interface Pending {
  /** Takes the reply; false if it has not come whole. */
  read(bytes: ByteQueue): boolean;
  reject(error: Error): void;
}

/** Where a server is, and what all connections of one client to it share. */
export interface Target {
  readonly host: string;
  readonly port: number;
  readonly deadlines: Deadlines;
  /** Each closes a connection that is open, or about to be. */
  readonly closers: Set<(error: Error) => void>;
  /** Why the client is closed, or null. */
  closed: Error | null;
}

/** One connection. It keeps the process running while a reply is awaited, and no longer. */
export class Connection {
  readonly dialect: Dialect;
  readonly #socket: Socket;
  readonly #target: Target;
  readonly #bytes = new ByteQueue();
  #pending: Pending[] = [];
  #error: Error | null = null;
  #isCorked = false;
  #unconfirmed = 0;
  /** Resolves when what was written has gone out, or cannot any more. */
  #room: Promise<void> | null = null;

  private constructor(socket: Socket, target: Target, dialect: Dialect) {
    this.#socket = socket;
    this.#target = target;
    this.dialect = dialect;
    target.closers.add(this.close);
    socket.setNoDelay(true);
    socket.unref();
    socket.on("data", (bytes: Buffer) => this.#onData(bytes));
    socket.on("error", (cause) => this.close(this.#lost(cause)));
    socket.on("close", () => this.close(this.#lost()));
  }

  /**
   * Connects, and finds out which dialect the server speaks. A port where nothing listens, or where the connection closes at
   * once, is tried again until `timeoutMs` have passed.
   * @throws TimeoutError if no TCPStore answered; ProtocolError if something else did.
   */
  static async open(target: Target, timeoutMs: number): Promise<Connection> {
    const deadline = now() + timeoutMs;
    const place = `${urlHost(target.host)}:${target.port}`;
    let delayMs = FIRST_RETRY_MS;
    let dialect: Dialect = "2.x";
    for (;;) {
      try {
        return await Connection.greet(target, dialect, Math.max(1, deadline - now()));
      } catch (error) {
        if (target.closed) throw target.closed;
        if (error instanceof ProtocolError || error instanceof TimeoutError) throw error;
        // A server of 1.x closes the connection of a client that begins with validate.
        dialect = dialect === "2.x" && error instanceof ConnectionLost ? "1.x" : "2.x";
        if (dialect === "1.x") continue;
        if (now() + delayMs >= deadline) {
          const text = error instanceof Error ? error.message : String(error);
          throw new TimeoutError(`no TCPStore answered at ${place} within ${timeoutMs} ms: ${text}`, { cause: error });
        }
        // Clients that were started together do not come again together.
        await sleep(delayMs * (0.5 + randomBytes(1)[0]! / 256));
        delayMs = Math.min(delayMs * 1.5, LAST_RETRY_MS);
      }
    }
  }

  /** One try, with a server whose dialect is known. @throws Error that says why it failed. */
  static async greet(target: Target, dialect: Dialect, timeoutMs: number): Promise<Connection> {
    if (target.closed) throw target.closed;
    const socket = await openSocket(target, timeoutMs);
    const connection = new Connection(socket, target, dialect);
    if (dialect === "1.x") {
      await connection.ask(encodeQuery(Op.NUM_KEYS, dialect, []), integerReply(), timeoutMs);
      return connection;
    }
    // In one piece: PyTorch's server drops a client whose validate comes in several.
    const greeting = [encodeQuery(Op.VALIDATE, dialect, [], MAGIC), encodeQuery(Op.PING, dialect, [], process.pid)];
    const echo = await connection.ask(Buffer.concat(greeting), u32Reply(), timeoutMs);
    if (echo === process.pid) return connection;
    connection.close();
    throw new ProtocolError(`${connection.#place} is no TCPStore: it answered something else`);
  }

  /** Writes that no reply has followed. */
  get unconfirmed(): number {
    return this.#unconfirmed;
  }

  /** Sends a query that has no reply. Resolves when there is room for more. */
  async tell(query: Buffer): Promise<void> {
    if (this.#error) throw this.#error;
    this.#unconfirmed++;
    this.#write(query);
    if (this.#socket.writableLength < HIGH_WATER_BYTES) return;
    this.#room ??= new Promise<void>((resolve) => {
      this.#socket.once("drain", resolve);
      this.#socket.once("close", resolve);
    }).then(() => {
      this.#room = null;
    });
    await this.#room;
    if (this.#error) throw this.#error;
  }

  /**
   * Sends a query, and resolves with its reply.
   * @throws TimeoutError if it has not come after `timeoutMs`, and nothing that the server says later can be told apart: the
   *   connection is closed; ConnectionLost; ProtocolError if the server sent what it may not.
   */
  ask<T>(query: Buffer, reply: Reply<T>, timeoutMs: number): Promise<T> {
    if (this.#error) return Promise.reject(this.#error);
    const confirmed = this.#unconfirmed;
    this.#write(query);
    return new Promise((resolve, reject) => {
      const { deadlines } = this.#target;
      const deadline: Deadline = deadlines.set(timeoutMs, () => {
        this.close(new TimeoutError(`the TCPStore at ${this.#place} did not answer within ${timeoutMs} ms`));
      });
      this.#pending.push({
        read: (bytes) => {
          const value = reply(bytes);
          if (value === undefined) return false;
          deadlines.clear(deadline);
          this.#unconfirmed -= confirmed;
          resolve(value);
          return true;
        },
        reject: (error) => {
          deadlines.clear(deadline);
          reject(error);
        },
      });
    });
  }

  /** Sends a query whose reply another one takes. */
  send(query: Buffer): void {
    if (!this.#error) this.#write(query);
  }

  /** Has it been closed, by either side? */
  get isClosed(): boolean {
    return this.#error !== null;
  }

  /** Closes the connection: what is pending, and what comes later, rejects with `error`. */
  readonly close = (error: Error = new StoreError("the connection is not used any more")): void => {
    if (this.#error) return;
    this.#error = error;
    this.#target.closers.delete(this.close);
    this.#socket.destroy();
    const pending = this.#pending;
    this.#pending = [];
    for (const { reject } of pending) reject(error);
  };

  get #place(): string {
    return `${urlHost(this.#target.host)}:${this.#target.port}`;
  }

  #lost(cause?: Error): ConnectionLost {
    const writes =
      this.#unconfirmed > 0 ? `; ${this.#unconfirmed} writes had no reply behind them and may be lost` : "";
    return new ConnectionLost(
      `the connection to the TCPStore at ${this.#place} closed${cause ? `: ${cause.message}` : ""}${writes}`,
      { cause },
    );
  }

  /** Queries of one turn of the event loop go out together. */
  #write(query: Buffer): void {
    if (!this.#isCorked) {
      this.#isCorked = true;
      this.#socket.cork();
      process.nextTick(() => {
        this.#isCorked = false;
        this.#socket.uncork();
      });
    }
    this.#socket.write(query);
  }

  #onData(bytes: Buffer): void {
    this.#bytes.push(bytes);
    try {
      let answered = 0;
      while (answered < this.#pending.length && this.#pending[answered]!.read(this.#bytes)) answered++;
      this.#pending.splice(0, answered);
      if (this.#pending.length > 0 || this.#bytes.length === 0) return;
      throw new ProtocolError("bytes came that nobody asked");
    } catch (cause) {
      const text = cause instanceof Error ? cause.message : String(cause);
      this.close(new ProtocolError(`the TCPStore at ${this.#place} broke its protocol: ${text}`, { cause }));
    }
  }
}

/** A socket that is connected. */
function openSocket({ host, port, deadlines, closers }: Target, timeoutMs: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    const close = (error: Error) => socket.destroy(error);
    const deadline = deadlines.set(timeoutMs, () => close(new Error("it did not accept the connection")));
    closers.add(close);
    const settle = (outcome: () => void) => () => {
      deadlines.clear(deadline);
      closers.delete(close);
      socket.removeAllListeners();
      outcome();
    };
    socket.once(
      "connect",
      settle(() => resolve(socket)),
    );
    socket.once("error", (error) => settle(() => reject(error))());
  });
}
