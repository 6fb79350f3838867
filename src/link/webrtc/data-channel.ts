/**
 * DataChannel: one peer connection and its one data channel, which carries binary messages and texts, reliable and in order. What
 * comes while nobody reads waits.
 */
import { ProtocolError } from "../../errors.ts";
import { startQuietTimer } from "../../support/clock.ts";
import { textOf } from "../../support/thrown.ts";

/** A longer message than this would keep a browser's buffers from all others; every browser takes this one. */
export const MOST_MESSAGE_BYTES = 64 * 1024;
/** A peer that takes less than this at once would have frames cut into crumbs. */
const LEAST_MESSAGE_BYTES = 1_024;
/** Most bytes that wait for a reader: several windows of a link. */
const MOST_WAITING_BYTES = 2 ** 25;
/** Counted for each message that waits: one without bytes takes room, too. */
const WAITING_BYTES = 64;
/** How long the other side has to close what this one has closed, in milliseconds. */
const CLOSE_MS = 10_000;

/** Whoever reads a channel. */
export interface ChannelReader {
  onMessage(message: ArrayBuffer | string): void;
  /** The channel is closed. Called once, by the reader of that moment or the next one. */
  onClose(): void;
}

/** See the file's head. Both sides make it alike, before they know of each other. */
export class DataChannel {
  readonly #connection: RTCPeerConnection;
  readonly #channel: RTCDataChannel;
  #reader: ChannelReader | null = null;
  readonly #waiting: (ArrayBuffer | string)[] = [];
  #waitingBytes = 0;
  #isClosed = false;
  #reason = "it was closed";
  #fail: (error: Error) => void = () => {};
  /** Resolves when both sides can send; rejects if it closes first. */
  readonly opened: Promise<void>;

  constructor(connection: RTCPeerConnection) {
    const channel = connection.createDataChannel("webccl", { negotiated: true, id: 0 });
    channel.binaryType = "arraybuffer";
    this.#connection = connection;
    this.#channel = channel;
    this.opened = new Promise((resolve, reject) => {
      channel.onopen = () => resolve();
      this.#fail = reject;
    });
    this.opened.catch(() => {});
    channel.onclose = () => this.terminate();
    connection.onconnectionstatechange = () => {
      if (connection.connectionState !== "failed") return;
      this.#reason = "no way between the two was found, or it was lost";
      this.terminate();
    };
    channel.onmessage = ({ data }: MessageEvent<ArrayBuffer | string>) => {
      if (this.#reader) this.#reader.onMessage(data);
      else this.#keep(data);
    };
  }

  get connection(): RTCPeerConnection {
    return this.#connection;
  }

  /** Most bytes of one message, once it is open. */
  get messageBytes(): number {
    return Math.min(this.#connection.sctp?.maxMessageSize ?? MOST_MESSAGE_BYTES, MOST_MESSAGE_BYTES);
  }

  /** @throws ProtocolError if the other side, once it is open, takes next to nothing. */
  checkMessageBytes(): void {
    const most = this.messageBytes;
    if (most < LEAST_MESSAGE_BYTES) throw new ProtocolError(`the other side takes messages of ${most} bytes at most`);
  }

  /** From now on `reader` gets all that comes, beginning with what waits; null lets it wait again. */
  read(reader: ChannelReader | null): void {
    this.#reader = reader;
    while (this.#waiting.length > 0 && this.#reader) {
      const message = this.#waiting.shift()!;
      this.#waitingBytes -= WAITING_BYTES + lengthOf(message);
      this.#reader.onMessage(message);
    }
    if (this.#isClosed) queueMicrotask(() => this.#reader?.onClose());
  }

  /** Sends a copy of the bytes, or a text. False if the channel takes no more: it is closed, or closing. */
  send(message: Uint8Array<ArrayBuffer> | string): boolean {
    if (this.#channel.readyState !== "open") return false;
    try {
      if (typeof message === "string") this.#channel.send(message);
      else this.#channel.send(message);
      return true;
    } catch (error) {
      this.#reason = textOf(error);
      this.terminate();
      return false;
    }
  }

  /** Closes it, and the other side then. What it has not sent may be lost. */
  close(): void {
    if (this.#isClosed) return;
    this.#channel.close();
    this.awaitClose();
  }

  /** The other side is about to close it. */
  awaitClose(): void {
    if (!this.#isClosed) startQuietTimer(CLOSE_MS, () => this.terminate());
  }

  #keep(message: ArrayBuffer | string): void {
    if (this.#isClosed) return;
    this.#waiting.push(message);
    this.#waitingBytes += WAITING_BYTES + lengthOf(message);
    if (this.#waitingBytes <= MOST_WAITING_BYTES) return;
    this.#reason = "the other side sent more than may wait here";
    this.#waiting.length = 0;
    this.terminate();
  }

  /** Closes at once. */
  terminate(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#connection.close();
    this.#fail(new Error(this.#reason));
    this.#reader?.onClose();
  }
}

/** Bytes of a message; of a text its characters. */
export function lengthOf(message: ArrayBuffer | string): number {
  return typeof message === "string" ? message.length : message.byteLength;
}
