/**
 * NodeSocket: a WebSocket over a connection of node:net whose upgrade `ws` has made, as a {@link BaseSocket}.
 *
 * One message is one WebSocket frame and one write: a short one joined with its header, a long one's bytes from where
 * they lie. Bytes that arrive are handed on as they come, straight from the read buffer, or collected into whole
 * messages.
 */
import type { Duplex } from "node:stream";
import { totalBytes } from "../link/payload/fragments.ts";
import { Pieces } from "../link/payload/pieces.ts";
import { BaseSocket } from "../link/websocket/base-socket.ts";
import {
  CloseCode,
  closePayload,
  controlFrame,
  frameHeaderBytes,
  Opcode,
  writeFrameHeader,
} from "../link/websocket/frame.ts";
import { watchLiveness } from "../link/websocket/liveness.ts";
import { WebSocketReceiver, WebSocketViolation } from "../link/websocket/receiver.ts";
import { type ReadsInPlace, readInPlace } from "./read-in-place.ts";
import { TimeSlice } from "./time-slice/time-slice.ts";

/** How long the other side may take to answer a close, in milliseconds. */
const CLOSE_TIMEOUT_MS = 5_000;
/** Up to this many bytes a message is copied behind its header, which takes less time than a second part of a write. */
const JOINED_BYTES = 4 * 1024;
/** If at least so many bytes of a message are still to come, they are read to where they belong. */
const DIRECT_BYTES = 16 * 1024;
/** Most bytes of the first read behind a long message: the next one's head, and not its payload. */
const HEAD_BYTES = 4 * 1024;
/** Most bytes of a read of short messages, of which many are in few bytes, where sockets have time slices. */
const SHORT_READ_BYTES = 16 * 1024;
/** So many of them are served before the time is looked at; of a long message all that came. */
const STEP_BYTES = 1024;

/** A connection: one of node:net, or what has as much of it as a socket needs. */
export interface Connection extends Duplex {
  unref(): unknown;
  setTimeout(timeoutMs: number): unknown;
  setNoDelay(): unknown;
}

export interface NodeSocketOptions {
  /** Which end this is. */
  side: "client" | "server";
  /** Most bytes of a message from the other side. */
  maxMessageBytes: number;
  /** Most bytes that may come until {@link NodeSocket.trust} is called. Default: no limit. */
  untrustedBytes?: number;
  /** Is read for a time slice, before the other such sockets of this process are. Default: false. */
  isSliced?: boolean | undefined;
}

export class NodeSocket extends BaseSocket {
  readonly #net: Connection;
  readonly #isClient: boolean;
  readonly #receiver: WebSocketReceiver;
  /**
   * Reads bytes into a buffer that the next read overwrites, or to where they belong; null if Node allocates for each
   * read.
   */
  readonly #reads: ReadsInPlace | null;
  #wasLong = false;
  readonly #slice: TimeSlice | null;
  /** Bytes that came and wait for the next slice. */
  #rest: Uint8Array | null = null;
  #allowedBytes: number;
  #bytesRead = 0;
  #paused = false;
  /** A message that is collected until it is whole. */
  readonly #pieces = new Pieces();
  /** A pong waits to be taken by the operating system, and perhaps the payload of the latest ping since. */
  #isPongWaiting = false;
  #nextPong: Uint8Array | null = null;
  /** A close frame was sent: nothing else may be. */
  #closing = false;
  #closeTimer: ReturnType<typeof setTimeout> | null = null;
  #closed: { code: number; reason: string } = { code: CloseCode.ABNORMAL, reason: "" };
  #unwatch: () => void = () => {};

  /** `net` is upgraded; `head` has the bytes that came behind the upgrade. */
  constructor(net: Connection, head: Uint8Array, options: NodeSocketOptions) {
    super();
    const { side, maxMessageBytes, untrustedBytes = Number.POSITIVE_INFINITY, isSliced = false } = options;
    this.#isClient = side === "client";
    this.#allowedBytes = untrustedBytes;
    this.#receiver = new WebSocketReceiver({
      masked: !this.#isClient,
      maxMessageBytes,
      events: {
        onData: (bytes, last) => this.#onData(bytes, last),
        onPing: (payload) => this.#pong(payload),
        onPong: () => {},
        onClose: (code, reason) => this.#onCloseFrame(code, reason),
      },
    });
    this.#reads = readInPlace(net, { onBytes: (bytes) => this.#read(bytes), room: (buffer) => this.#room(buffer) });
    this.#net = this.#reads?.net ?? net;
    this.#slice = isSliced
      ? new TimeSlice({ pause: () => this.#net.pause(), resume: () => this.#resumeReading() })
      : null;
    // Whoever waits for something keeps the process running by a timer; an open connection alone does not.
    this.#net.unref();
    this.#net.setTimeout(0);
    this.#net.setNoDelay();
    if (!this.#reads) this.#net.on("data", (bytes: Uint8Array) => this.#read(bytes));
    // Nobody reads there any more. What cannot be sent must not keep the connection open: it may be half-open.
    this.#net.on("end", () => this.#net.destroy());
    // The close event follows every error.
    this.#net.on("error", () => {});
    this.#net.on("close", () => this.#ended());
    if (head.byteLength > 0) this.#read(head);
  }

  get bufferedBytes(): number {
    return this.#net.writableLength;
  }

  /** Bytes that came so far. */
  get bytesRead(): number {
    return this.#bytesRead;
  }

  get isPaused(): boolean {
    return this.#paused;
  }

  send(parts: readonly Uint8Array[], onSent?: () => void): void {
    // After an error too: a closed socket no longer reads the parts either.
    const sent = () => onSent?.();
    if (this.#closing || !this.#net.writable) {
      process.nextTick(sent);
      return;
    }
    const payloadBytes = totalBytes(parts);
    const headerBytes = frameHeaderBytes(payloadBytes, this.#isClient);
    const first = parts[0];
    const joinsFirst = first !== undefined && first.byteLength <= JOINED_BYTES;
    const joined = payloadBytes <= JOINED_BYTES ? parts : parts.slice(0, joinsFirst ? 1 : 0);
    const start = new Uint8Array(headerBytes + totalBytes(joined));
    writeFrameHeader(start, Opcode.BINARY, payloadBytes, this.#isClient);
    let at = headerBytes;
    for (const part of joined) {
      start.set(part, at);
      at += part.byteLength;
    }
    if (joined.length === parts.length) {
      this.#net.write(start, sent);
      return;
    }
    this.#net.cork();
    this.#net.write(start);
    const rest = parts.slice(joined.length);
    rest.forEach((part, i) => {
      this.#net.write(part, i === rest.length - 1 ? sent : undefined);
    });
    this.#net.uncork();
  }

  pause(): void {
    this.#paused = true;
    this.#net.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#resumeReading();
  }

  #resumeReading(): void {
    const rest = this.#rest;
    if (rest && !this.#mayNotRead) {
      this.#rest = null;
      this.#serve(rest);
    }
    if (!this.#mayNotRead) this.#net.resume();
  }

  get #mayNotRead(): boolean {
    return this.#paused || this.#slice?.isOver === true;
  }

  override withdrawRoom(): void {
    this.#reads?.reset();
  }

  close(code: number = CloseCode.NORMAL, reason = ""): void {
    if (this.#closing || this.#net.destroyed) return;
    this.#control(Opcode.CLOSE, code === CloseCode.NO_STATUS ? new Uint8Array(0) : closePayload(code, reason));
    this.#closing = true;
    // A paused socket would never see the other side's answer.
    this.resume();
    this.#closeTimer = setTimeout(() => this.#net.destroy(), CLOSE_TIMEOUT_MS);
  }

  terminate(): void {
    this.#receiver.stop();
    this.#net.destroy();
  }

  /** Lifts the limit on what may come. */
  trust(): void {
    this.#allowedBytes = Number.POSITIVE_INFINITY;
  }

  ping(): void {
    this.#control(Opcode.PING, new Uint8Array(0));
  }

  /** Closes if the other side gives no sign of life for `timeoutMs`. */
  watch(timeoutMs: number): void {
    this.#unwatch = watchLiveness(this, timeoutMs, () => {
      this.deliverClose(CloseCode.ABNORMAL, `no sign of life for ${timeoutMs} ms`);
      this.terminate();
    });
  }

  #read(bytes: Uint8Array): void {
    this.#bytesRead += bytes.byteLength;
    if (this.#bytesRead > this.#allowedBytes) {
      this.terminate();
      return;
    }
    // A runtime may hand bytes over that it had read before the pause.
    if (this.#rest) this.#rest = Buffer.concat([this.#rest, bytes]);
    else this.#serve(bytes);
  }

  /** Takes the bytes that have come, or as many as there is time for. */
  #serve(bytes: Uint8Array): void {
    this.#slice?.begin();
    let at = 0;
    do {
      const end = this.#slice ? at + Math.max(STEP_BYTES, this.#receiver.dataToCome) : bytes.byteLength;
      this.#push(at === 0 && end >= bytes.byteLength ? bytes : bytes.subarray(at, end));
      at = end;
    } while (at < bytes.byteLength && !this.#slice?.isSpent);
    this.#slice?.end();
    // The next read may overwrite them.
    if (at < bytes.byteLength) this.#rest = new Uint8Array(bytes.subarray(at));
  }

  /** Bytes that break the protocol end the connection, and nothing behind them is taken. */
  #push(bytes: Uint8Array): void {
    try {
      this.#receiver.push(bytes);
    } catch (error) {
      if (!(error instanceof WebSocketViolation)) throw error;
      this.#closed = { code: error.code, reason: error.message };
      this.close(error.code, error.message);
      this.#net.end();
      this.deliverClose(error.code, error.message);
    }
  }

  /** Where the next read puts its bytes: `buffer`, or where they belong. */
  #room(buffer: Uint8Array): Uint8Array {
    const toCome = this.#receiver.dataToCome;
    if (toCome < DIRECT_BYTES) {
      if (toCome > 0 || !this.#wasLong) return this.#slice ? buffer.subarray(0, SHORT_READ_BYTES) : buffer;
      this.#wasLong = false;
      return buffer.subarray(0, HEAD_BYTES);
    }
    this.#wasLong = true;
    const room = this.#pieces.isEmpty ? this.roomForBytes() : null;
    if (!room) return buffer;
    return room.byteLength > toCome ? room.subarray(0, toCome) : room;
  }

  #onData(bytes: Uint8Array, last: boolean): void {
    if (this.#pieces.isEmpty && this.deliverBytes(bytes, last)) return;
    this.#pieces.add(this.#reads ? bytes.slice() : bytes);
    if (last) this.deliver(this.#pieces.take());
  }

  #onCloseFrame(code: number, reason: string): void {
    this.#closed = { code, reason };
    this.close(code);
    this.#net.end();
  }

  /** Of pings that come while the other side reads no answers, the latest alone is answered, as RFC 6455 allows (5.5.3). */
  #pong(payload: Uint8Array): void {
    if (this.#isPongWaiting) {
      this.#nextPong = payload.slice();
      return;
    }
    this.#isPongWaiting = true;
    this.#control(Opcode.PONG, payload, () => {
      this.#isPongWaiting = false;
      const next = this.#nextPong;
      this.#nextPong = null;
      if (next) this.#pong(next);
    });
  }

  #control(opcode: number, payload: Uint8Array, onSent?: () => void): void {
    if (!this.#closing && this.#net.writable) this.#net.write(controlFrame(opcode, payload, this.#isClient), onSent);
  }

  #ended(): void {
    if (this.#closeTimer) clearTimeout(this.#closeTimer);
    this.#unwatch();
    // What had come by then, and waits for its slice, is heard before the end.
    const rest = this.#rest;
    this.#rest = null;
    if (rest) this.#push(rest);
    this.deliverClose(this.#closed.code, this.#closed.reason);
  }
}
