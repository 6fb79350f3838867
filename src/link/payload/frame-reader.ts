/**
 * FrameReader: makes frames of a link's messages as these arrive. A frame of kind data is handed over as soon as its head is
 * there, and its bytes go to where they belong while the rest of it is on its way; any other frame, when it is whole.
 * A socket that can read to an address of its choice is told the right one, and then no byte is copied.
 */
import { ProtocolError } from "../../errors.ts";
import { decodeHeader, FINGERPRINT_BYTES, FrameKind, HEADER_BYTES, headBytes } from "../../wire/frame.ts";
import type { ByteSink, Destination, Payload, Socket } from "../link.ts";
import { copyBytes } from "./copy-bytes.ts";
import { FragmentsPayload } from "./fragments.ts";
import { isPartOf, KeptBytes } from "./kept-bytes.ts";

/** See the file's head. */
export class FrameReader implements ByteSink {
  readonly #onFrame: (head: Uint8Array, payload: Payload) => void;
  readonly #socket: Pick<Socket, "withdrawRoom">;
  readonly #head = new Uint8Array(HEADER_BYTES + FINGERPRINT_BYTES);
  /** Bytes of the head that have come. */
  #headBytes = 0;
  /** The frame under way: the payload of a data frame, or the pieces of another's. */
  #payload: ArrivingPayload | Uint8Array[] | null = null;

  /** `head` is valid during the call. `socket` reads into the room that this gives. */
  constructor(onFrame: (head: Uint8Array, payload: Payload) => void, socket: Pick<Socket, "withdrawRoom">) {
    this.#onFrame = onFrame;
    this.#socket = socket;
  }

  room(): Uint8Array | null {
    return this.#payload instanceof ArrivingPayload ? this.#payload.room() : null;
  }

  /**
   * Takes the next bytes of a message; `last` with its last.
   * @throws ProtocolError if the message is no frame, or is longer or shorter than its header says.
   */
  push(bytes: Uint8Array, last: boolean): void {
    let rest = bytes;
    if (this.#payload === null) {
      rest = this.#takeHead(bytes);
      if (this.#payload === null) {
        if (!last) return;
        throw new ProtocolError(`a frame of ${this.#headBytes} bytes ends before its head does`);
      }
    }
    const payload: ArrivingPayload | Uint8Array[] = this.#payload;
    if (Array.isArray(payload)) {
      if (rest.byteLength > 0) payload.push(rest.slice());
    } else if (rest.byteLength > 0) payload.push(rest);
    if (!last) return;
    this.#payload = null;
    this.#headBytes = 0;
    if (Array.isArray(payload)) this.#onFrame(this.#head, new FragmentsPayload(payload));
    else payload.end();
  }

  /** Takes bytes of the head, and returns those behind it. */
  #takeHead(bytes: Uint8Array): Uint8Array {
    let at = 0;
    while (at < bytes.byteLength) {
      const taken = Math.min(this.#headSize - this.#headBytes, bytes.byteLength - at);
      this.#head.set(taken === bytes.byteLength ? bytes : bytes.subarray(at, at + taken), this.#headBytes);
      this.#headBytes += taken;
      at += taken;
      if (this.#headBytes < this.#headSize) continue;
      this.#begin();
      break;
    }
    return bytes.subarray(at);
  }

  /** Bytes of the whole head: its flags, which come with the header, say whether there is a fingerprint. */
  get #headSize(): number {
    return this.#headBytes < HEADER_BYTES ? HEADER_BYTES : headBytes(this.#head[3]!);
  }

  #begin(): void {
    const { kind, payloadBytes } = decodeHeader(this.#head);
    if (kind !== FrameKind.DATA) {
      this.#payload = [];
      return;
    }
    const payload = new ArrivingPayload(payloadBytes, this.#socket);
    this.#payload = payload;
    this.#onFrame(this.#head, payload);
  }
}

/** A payload that is still arriving. If nobody takes or keeps it when it is handed over, its bytes are dropped. */
class ArrivingPayload implements Payload {
  readonly byteLength: number;
  readonly #socket: Pick<Socket, "withdrawRoom">;
  #arrivedBytes = 0;
  #to: Destination | null = null;
  #kept: KeptBytes | null = null;

  constructor(byteLength: number, socket: Pick<Socket, "withdrawRoom">) {
    this.byteLength = byteLength;
    this.#socket = socket;
  }

  copyTo(): never {
    throw new TypeError("a message that is still arriving has not all of its bytes here");
  }

  keep(): Payload {
    this.#kept ??= new KeptBytes(this.byteLength);
    return this;
  }

  fill(to: Destination): void {
    if (!to.cancelled) this.#kept?.copyTo(to.into);
    this.#kept?.release();
    this.#kept = null;
    this.#to = to;
    if (this.#arrivedBytes === this.byteLength) to.done();
  }

  /** Where the next bytes belong. Only shared memory is lent: nobody can detach it while the operating system writes to it. */
  room(): Uint8Array | null {
    const to = this.#to;
    if (!to) return this.#kept?.room() ?? null;
    if (to.cancelled || to.into.buffer instanceof ArrayBuffer) return null;
    to.onCancelled = () => this.#socket.withdrawRoom();
    return to.into.subarray(this.#arrivedBytes);
  }

  /** The next bytes have come. @throws ProtocolError if there are more than the header says. */
  push(bytes: Uint8Array): void {
    const at = this.#arrivedBytes;
    this.#arrivedBytes += bytes.byteLength;
    if (this.#arrivedBytes > this.byteLength) throw mismatch(this.byteLength, "more");
    this.#kept?.push(bytes);
    if (!this.#to) return;
    if (!this.#to.cancelled && !isPartOf(this.#to.into, at, bytes)) copyBytes(this.#to.into, at, bytes);
    if (this.#arrivedBytes === this.byteLength) this.#to.done();
  }

  /** The message has ended. @throws ProtocolError if bytes are missing. */
  end(): void {
    if (this.#arrivedBytes < this.byteLength) throw mismatch(this.byteLength, "fewer");
  }
}

function mismatch(byteLength: number, what: string): ProtocolError {
  return new ProtocolError(`a frame declares ${byteLength} bytes and has ${what}`);
}
