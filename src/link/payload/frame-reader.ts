/**
 * FrameReader: makes frames of a link's messages as these arrive. A frame of kind data is handed over as soon as its head is
 * there, and its bytes go to where they belong while the rest of it is on its way; any other frame, when it is whole.
 * A socket that can read to an address of its choice is told the right one, and then no byte is copied.
 *
 * On a link with checksums a head is checked before anyone acts on it, and a payload before its receive is told that it is
 * there. A frame is whole when it has the bytes that its header declares, whatever the message around it says: so a length
 * of the WebSocket's that grew on the way shows at the next byte, and nobody waits for bytes that never come.
 */
import { ProtocolError } from "../../errors.ts";
import type { RunningChecksum } from "../../wire/checksum.ts";
import {
  carriedBytes,
  decodeHeader,
  FINGERPRINT_BYTES,
  FrameKind,
  HEADER_BYTES,
  headBytes,
  peerOf,
} from "../../wire/frame.ts";
import { DamagedFrameError, type FrameSums } from "../../wire/frame-sums.ts";
import type { ByteSink, Destination, LinkSums, Payload, Socket } from "../link.ts";
import { copyBytes } from "./copy-bytes.ts";
import { FragmentsPayload } from "./fragments.ts";
import { isPartOf, KeptBytes } from "./kept-bytes.ts";

/** The rest of a frame whose head has come. */
interface Arriving {
  /** @throws ProtocolError if there are more bytes than the header says, or others than were sent. */
  push(bytes: Uint8Array): void;
  /** The message has ended. @throws ProtocolError if bytes are missing. */
  end(): void;
}

/** See the file's head. */
export class FrameReader implements ByteSink {
  readonly #onFrame: (head: Uint8Array, payload: Payload) => void;
  readonly #socket: Pick<Socket, "withdrawRoom">;
  readonly #sums: LinkSums | null;
  readonly #head = new Uint8Array(HEADER_BYTES + FINGERPRINT_BYTES);
  /** Bytes of the head that have come. */
  #headBytes = 0;
  /** The frame under way, once its head has come. */
  #arriving: Arriving | null = null;

  /** `head` is valid during the call. `socket` reads into the room that this gives. `sums` is null on a link without checksums. */
  constructor(
    onFrame: (head: Uint8Array, payload: Payload) => void,
    socket: Pick<Socket, "withdrawRoom">,
    sums: LinkSums | null = null,
  ) {
    this.#onFrame = onFrame;
    this.#socket = socket;
    this.#sums = sums;
  }

  room(): Uint8Array | null {
    return this.#arriving instanceof ArrivingPayload ? this.#arriving.room() : null;
  }

  /**
   * Takes the next bytes of a message; `last` with its last.
   * @throws ProtocolError if the message is no frame, or is longer or shorter than its header says; DamagedFrameError of
   *   that or if a checksum is wrong, on a link that has them.
   */
  push(bytes: Uint8Array, last: boolean): void {
    try {
      this.#push(bytes, last);
    } catch (error) {
      // On such a link a frame's form is as its sender made it, or was damaged.
      if (this.#sums && error instanceof FormError) throw new DamagedFrameError(error.message);
      throw error;
    }
  }

  #push(bytes: Uint8Array, last: boolean): void {
    let rest = bytes;
    if (this.#arriving === null) {
      rest = this.#takeHead(bytes);
      if (this.#arriving === null) {
        if (!last) return;
        throw new FormError(`a frame of ${this.#headBytes} bytes ends before its head does`);
      }
    }
    const arriving: Arriving = this.#arriving;
    if (rest.byteLength > 0) arriving.push(rest);
    if (!last) return;
    this.#arriving = null;
    this.#headBytes = 0;
    arriving.end();
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
    const { sums, own, other } = this.#sums ?? NO_SUMS;
    sums?.checkHead(this.#head.subarray(0, this.#headBytes), other, own);
    // The checksum does not cover this field, which a hub overwrites.
    if (sums && peerOf(this.#head) !== other) throw new FormError(`a frame of rank ${other} says it is of another`);
    const header = decodeHeader(this.#head);
    const check = sums && new PayloadCheck(sums, this.#head);
    if (header.kind === FrameKind.DATA) {
      const payload = new ArrivingPayload(header.payloadBytes, this.#socket, check);
      this.#arriving = payload;
      this.#onFrame(this.#head, payload);
    } else {
      this.#arriving = new ArrivingPieces(carriedBytes(header), check, (payload) => this.#onFrame(this.#head, payload));
    }
  }
}

const NO_SUMS = { sums: null, own: 0, other: 0 };

/** A message is longer or shorter than its header says. */
class FormError extends ProtocolError {}

/** The check of one payload, whose bytes are added as they come. */
class PayloadCheck {
  readonly #sums: FrameSums;
  readonly #head: Uint8Array;
  readonly #running: RunningChecksum;

  /** `head` is kept until the payload is there. */
  constructor(sums: FrameSums, head: Uint8Array) {
    this.#sums = sums;
    this.#head = head;
    this.#running = sums.beginPayload();
  }

  add(bytes: Uint8Array): void {
    this.#running.add(bytes);
  }

  /** @throws DamagedFrameError if the bytes are not those that were sent. */
  end(): void {
    this.#sums.checkPayload(this.#head, this.#running);
  }
}

/** The pieces of a frame that is handed over when it is whole. */
class ArrivingPieces implements Arriving {
  readonly #byteLength: number;
  readonly #check: PayloadCheck | null;
  readonly #onWhole: (payload: Payload) => void;
  readonly #pieces: Uint8Array[] = [];
  #arrivedBytes = 0;

  constructor(byteLength: number, check: PayloadCheck | null, onWhole: (payload: Payload) => void) {
    this.#byteLength = byteLength;
    this.#check = check;
    this.#onWhole = onWhole;
    if (byteLength === 0) this.#whole();
  }

  push(bytes: Uint8Array): void {
    this.#arrivedBytes += bytes.byteLength;
    if (this.#arrivedBytes > this.#byteLength) throw mismatch(this.#byteLength, "more");
    this.#pieces.push(bytes.slice());
    this.#check?.add(bytes);
    if (this.#arrivedBytes === this.#byteLength) this.#whole();
  }

  end(): void {
    if (this.#arrivedBytes < this.#byteLength) throw mismatch(this.#byteLength, "fewer");
  }

  #whole(): void {
    this.#check?.end();
    this.#onWhole(new FragmentsPayload(this.#pieces));
  }
}

/** A payload that is still arriving. If nobody takes or keeps it when it is handed over, its bytes are dropped. */
class ArrivingPayload implements Payload, Arriving {
  readonly byteLength: number;
  readonly #socket: Pick<Socket, "withdrawRoom">;
  readonly #check: PayloadCheck | null;
  #arrivedBytes = 0;
  /** All bytes have come, and are those that were sent. One that was damaged is never done. */
  #isWhole = false;
  #to: Destination | null = null;
  #kept: KeptBytes | null = null;

  constructor(byteLength: number, socket: Pick<Socket, "withdrawRoom">, check: PayloadCheck | null) {
    this.byteLength = byteLength;
    this.#socket = socket;
    this.#check = check;
    if (byteLength === 0) this.#end();
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
    if (this.#isWhole) to.done();
  }

  /** Where the next bytes belong. Only shared memory is lent: nobody can detach it while the operating system writes to it. */
  room(): Uint8Array | null {
    const to = this.#to;
    if (!to) return this.#kept?.room() ?? null;
    if (to.cancelled || to.into.buffer instanceof ArrayBuffer) return null;
    to.onCancelled = () => this.#socket.withdrawRoom();
    return to.into.subarray(this.#arrivedBytes);
  }

  push(bytes: Uint8Array): void {
    const at = this.#arrivedBytes;
    this.#arrivedBytes += bytes.byteLength;
    if (this.#arrivedBytes > this.byteLength) throw mismatch(this.byteLength, "more");
    this.#kept?.push(bytes);
    const to = this.#to?.cancelled ? null : this.#to;
    if (to && !isPartOf(to.into, at, bytes)) copyBytes(to.into, at, bytes);
    // The copy is in the cache now, and in the memory of WebAssembly as a rule; its own making is checked too.
    this.#check?.add(to ? to.into.subarray(at, this.#arrivedBytes) : bytes);
    if (this.#arrivedBytes < this.byteLength) return;
    this.#end();
    this.#to?.done();
  }

  end(): void {
    if (this.#arrivedBytes < this.byteLength) throw mismatch(this.byteLength, "fewer");
  }

  #end(): void {
    this.#check?.end();
    this.#isWhole = true;
  }
}

function mismatch(byteLength: number, found: string): FormError {
  return new FormError(`a frame declares ${byteLength} bytes and has ${found}`);
}
