/**
 * A data-channel link: a direct way to a rank on another machine that cannot listen, such as a tab. Frames are cut into pieces that
 * every browser takes; in front of each stands a byte that says whether it is the last of its frame. DTLS carries them, so there
 * are no checksums.
 *
 * Texts are what the two links say to each other: how many bytes of pieces the sender of the text has read so far, and goodbye. A
 * sender has at most WINDOW_BYTES on the way that the other has not read: no browser holds a fast sender back by itself. So nothing
 * waits for a timer or for a browser's buffer, and a tab that is hidden or busy keeps little.
 */
import { ProtocolError } from "../../errors.ts";
import type { Link, LinkReceiver } from "../link.ts";
import { FrameReader } from "../payload/frame-reader.ts";
import { type DataChannel, lengthOf, MOST_MESSAGE_BYTES } from "./data-channel.ts";

/** Most bytes on the way, those before each piece counted. */
export const WINDOW_BYTES = 4 * 1024 * 1024;
/** Bytes after which the other side is told that they were read. */
const TOLD_BYTES = WINDOW_BYTES / 8;

const GOODBYE = "goodbye";
const MORE = 0;
const LAST = 1;

/** Of messages: nothing is lent to be read into. */
const NO_ROOM = { withdrawRoom: () => {} };

/** A frame that is being sent. */
interface Outgoing {
  readonly parts: readonly Uint8Array[];
  readonly onSent: (() => void) | undefined;
}

/** One rank's end of a link. */
export class WebRtcLink implements Link {
  readonly kind = "webrtc";
  readonly #channel: DataChannel;
  readonly #onError: (error: unknown) => void;
  readonly #piece: Uint8Array<ArrayBuffer>;
  #receiver: LinkReceiver | null = null;
  readonly #queue: Outgoing[] = [];
  /** Bytes of the first frame in the queue that have been sent. */
  #doneBytes = 0;
  #sentBytes = 0;
  /** Of these the other side has read so many. */
  #readBytes = 0;
  #cameBytes = 0;
  #toldBytes = 0;
  #isPumping = false;
  #isClosing = false;
  #isClosed = false;

  /** `channel` must be open. `onError` is called with the error of a frame that was refused; the link then closes. */
  constructor(channel: DataChannel, onError: (error: unknown) => void) {
    this.#channel = channel;
    this.#onError = onError;
    this.#piece = new Uint8Array(channel.messageBytes);
  }

  send(header: Uint8Array, payload: Uint8Array | null, onSent?: () => void): void {
    if (this.#isClosing || this.#isClosed) {
      onSent?.();
      return;
    }
    this.#queue.push({ parts: payload ? [header, payload] : [header], onSent });
    this.#pump();
  }

  start(receiver: LinkReceiver): void {
    this.#receiver = receiver;
    const reader = new FrameReader((head, payload) => receiver.onFrame(head, payload), NO_ROOM);
    this.#channel.read({
      onMessage: (message) => this.#take(message, reader),
      onClose: () => this.#closed(),
    });
  }

  close(): void {
    if (this.#isClosing || this.#isClosed) return;
    this.#isClosing = true;
    // Of a link that was never started nobody wants to hear.
    if (!this.#receiver) this.start({ onFrame: () => {}, onDamaged: () => {}, onClose: () => {} });
    if (this.#queue.length === 0) this.#sayGoodbye();
  }

  /** Sends as much as the window allows. Whoever is told that a frame is sent may send the next. */
  #pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    while (this.#queue.length > 0) {
      if (this.#sentBytes - this.#readBytes + this.#piece.byteLength > WINDOW_BYTES) break;
      const { parts, onSent } = this.#queue[0]!;
      const length = this.#cut(parts);
      const isLast = this.#piece[0] === LAST;
      if (!this.#channel.send(this.#piece.subarray(0, length))) break;
      this.#sentBytes += length;
      this.#doneBytes = isLast ? 0 : this.#doneBytes + length - 1;
      if (!isLast) continue;
      this.#queue.shift();
      onSent?.();
      if (this.#isClosing && this.#queue.length === 0) this.#sayGoodbye();
    }
    this.#isPumping = false;
  }

  /** Makes the next piece of a frame; returns how long it is. */
  #cut(parts: readonly Uint8Array[]): number {
    const piece = this.#piece;
    let start = this.#doneBytes;
    let at = 1;
    let isLast = true;
    for (const part of parts) {
      const taken = part.subarray(start, start + piece.byteLength - at);
      piece.set(taken, at);
      at += taken.byteLength;
      if (start + taken.byteLength < part.byteLength) isLast = false;
      start = Math.max(0, start - part.byteLength);
    }
    piece[0] = isLast ? LAST : MORE;
    return at;
  }

  #take(message: ArrayBuffer | string, reader: FrameReader): void {
    if (this.#isClosed) return;
    try {
      if (lengthOf(message) > MOST_MESSAGE_BYTES) throw new ProtocolError("a message is longer than any may be");
      if (typeof message === "string") this.#hear(message);
      else this.#read(new Uint8Array(message), reader);
    } catch (error) {
      this.#onError(error);
      this.#channel.terminate();
    }
  }

  #read(piece: Uint8Array, reader: FrameReader): void {
    const flag = piece[0];
    if (flag !== MORE && flag !== LAST) throw new ProtocolError("a piece of a frame begins with neither 0 nor 1");
    this.#cameBytes += piece.byteLength;
    reader.push(piece.subarray(1), flag === LAST);
    if (this.#cameBytes - this.#toldBytes < TOLD_BYTES) return;
    this.#toldBytes = this.#cameBytes;
    this.#channel.send(String(this.#toldBytes));
  }

  #hear(text: string): void {
    if (text === GOODBYE) {
      this.#channel.close();
      this.#closed();
      return;
    }
    const bytes = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (!(bytes >= this.#readBytes && bytes <= this.#sentBytes)) {
      throw new ProtocolError("the other side says that it has read what was not sent");
    }
    this.#readBytes = bytes;
    this.#pump();
  }

  /** The other side, which has all frames then, closes the channel. */
  #sayGoodbye(): void {
    if (this.#channel.send(GOODBYE)) this.#channel.awaitClose();
    else this.#channel.terminate();
  }

  /** What waits is dropped, and its senders have their bytes back. */
  #closed(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const { onSent } of this.#queue.splice(0)) onSent?.();
    this.#receiver?.onClose();
  }
}
