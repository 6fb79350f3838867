/**
 * ServedSocket: one client of a TCPStore's server, on a socket of node:net. It may send as many queries as it likes before it
 * reads a reply; while it does not read its replies it is not read either. Clients are served in turns. A malformed query closes its
 * own connection and no other.
 */
import type { Socket } from "node:net";
import { Account } from "../../support/account.ts";
import { textOf } from "../../support/thrown.ts";
import { TimeSlice } from "../time-slice/time-slice.ts";
import type { Awake } from "./awake.ts";
import { type KeyServer, ServedClient } from "./key-server.ts";
import type { Dialect } from "./queries.ts";
import { type Query, QueryReader } from "./query-reader.ts";

/** Bytes of replies that are gathered before they are written. */
const BATCH_BYTES = 65_536;
/** Bytes of replies that wait for a client at which it is not read any more. */
const HIGH_WATER_BYTES = 2 ** 20;

/** Bounds on one client; only tests set others. */
export interface ClientLimits {
  /** A query that has begun must have come, or `progressBytes` of it, within this time; then again. In milliseconds. */
  readonly halfQueryMs: number;
  readonly progressBytes: number;
  /** A client that has replies to read must read some within this time, in milliseconds. */
  readonly slowReaderMs: number;
  /** Most bytes that are kept for it: a query that is not whole, replies that wait, and waits. */
  readonly clientBytes: number;
  /** What a client may speak. */
  readonly dialects: readonly Dialect[];
}

export const CLIENT_LIMITS: ClientLimits = {
  ...{ halfQueryMs: 30_000, progressBytes: 2 ** 20, slowReaderMs: 60_000, clientBytes: 128 * 2 ** 20 },
  dialects: ["2.x", "1.x"],
};

/** Serves a client until its socket closes. */
export class ServedSocket {
  readonly #socket: Socket;
  readonly #limits: ClientLimits;
  readonly #onClosed: (reason: string) => void;
  readonly #reader: QueryReader;
  readonly #client: ServedClient;
  readonly #account: Account;
  readonly #slice: TimeSlice;
  readonly #awake: Awake;
  #kept = 0;
  #replies: Uint8Array[] = [];
  #replyBytes = 0;
  #isAnswering = false;
  /** Too many replies wait for it. */
  #isFull = false;
  /** It sent what may not be, or is gone: nothing behind that is looked at. */
  #isRefused = false;
  #received = 0;
  #halfTimer: NodeJS.Timeout | undefined;
  #slowTimer: NodeJS.Timeout | undefined;

  /** `onClosed` hears why the server closes the connection. */
  constructor(socket: Socket, server: KeyServer, limits: ClientLimits, onClosed: (reason: string) => void = () => {}) {
    this.#socket = socket;
    this.#limits = limits;
    this.#reader = new QueryReader(limits.dialects);
    this.#onClosed = onClosed;
    this.#awake = server.awake;
    this.#client = new ServedClient(server, (bytes) => {
      this.#replies.push(bytes);
      this.#replyBytes += bytes.length;
      if (!this.#isAnswering || this.#replyBytes > BATCH_BYTES) this.#flush();
    });
    this.#account = new Account({
      name: "this client",
      limit: limits.clientBytes,
      parent: server.account,
      evict: (reason) => {
        this.#refuse(reason);
        socket.destroy();
      },
    });
    this.#slice = new TimeSlice({ pause: () => socket.pause(), resume: () => this.#goOn() });
    socket.setNoDelay(true);
    socket.on("data", this.#onData);
    socket.on("drain", () => this.#onDrain());
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      clearTimeout(this.#halfTimer);
      clearTimeout(this.#slowTimer);
      // What came before and waits for its turn is not looked at: nobody hears of it.
      this.#isRefused = true;
      this.#awake.gone(this);
      this.#client.close();
      this.#account.close();
    });
  }

  /** Does it speak the dialect of 1.x? False until its first bytes have come. */
  get isOld(): boolean {
    return this.#reader.dialect === "1.x";
  }

  readonly #onData = (bytes: Buffer): void => {
    this.#received += bytes.length;
    this.#reader.push(bytes);
    this.#answer();
    this.#count();
  };

  #onDrain(): void {
    const wasFull = this.#isFull;
    this.#isFull = false;
    clearTimeout(this.#slowTimer);
    if (wasFull) this.#goOn();
    else this.#count();
  }

  /** Answers what had to wait, and reads again. */
  #goOn(): void {
    this.#answer();
    if (!this.#mustWait) this.#socket.resume();
    this.#count();
  }

  /** It has replies to read first, or had its time; or it is served no more. */
  get #mustWait(): boolean {
    return this.#isFull || this.#slice.isOver || this.#isRefused;
  }

  /** Brings the account up to date. */
  #count(): void {
    const kept = this.#reader.bytesKept + this.#socket.writableLength + this.#client.waitBytes;
    if (kept === this.#kept) return;
    this.#account.charge(kept - this.#kept);
    this.#kept = kept;
  }

  /** Answers the queries that have come whole. */
  #answer(): void {
    if (this.#mustWait) return;
    this.#isAnswering = true;
    this.#slice.begin();
    try {
      for (let query = this.#next(); query; query = this.#next()) this.#client.answer(query);
    } catch (error) {
      this.#refuse(textOf(error));
    }
    this.#isAnswering = false;
    this.#flush();
    this.#slice.end();
    if (!this.#mustWait) this.#watch();
  }

  #next(): Query | null {
    return this.#isFull || this.#slice.isSpent ? null : this.#reader.next();
  }

  #flush(): void {
    const replies = this.#replies;
    if (replies.length === 0) return;
    this.#awake.answered(this);
    const areShort = this.#replyBytes <= BATCH_BYTES;
    this.#replies = [];
    this.#replyBytes = 0;
    if (replies.length === 1) this.#socket.write(replies[0]!);
    else if (areShort) this.#socket.write(Buffer.concat(replies));
    else {
      this.#socket.cork();
      for (const part of replies) this.#socket.write(part);
      this.#socket.uncork();
    }
    if (!this.#isAnswering) this.#count();
    if (this.#socket.writableLength < HIGH_WATER_BYTES || this.#isFull) return;
    this.#isFull = true;
    this.#socket.pause();
    this.#slowTimer = setTimeout(() => this.#refuse("it does not read its replies"), this.#limits.slowReaderMs).unref();
  }

  /** Sees that a query which has begun goes on. */
  #watch(): void {
    if (!this.#reader.isInside) {
      clearTimeout(this.#halfTimer);
      this.#halfTimer = undefined;
      return;
    }
    if (this.#halfTimer || this.#socket.destroyed) return;
    const before = this.#received;
    this.#halfTimer = setTimeout(() => {
      this.#halfTimer = undefined;
      if (this.#received - before >= this.#limits.progressBytes) this.#watch();
      else this.#refuse("a query did not come whole in time");
    }, this.#limits.halfQueryMs).unref();
  }

  /** Closes the connection; the replies to what was done before go out, unless they do not move. */
  #refuse(reason: string): void {
    this.#isRefused = true;
    this.#socket.off("data", this.#onData);
    this.#onClosed(reason);
    if (this.#isFull) this.#socket.destroy();
    else this.#socket.destroySoon();
  }
}
