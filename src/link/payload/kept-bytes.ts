/**
 * KeptBytes: the bytes that have come of a message nobody has asked for yet, in pieces that are made as bytes come and
 * are used again.
 */
import { copyBytes } from "./copy-bytes.ts";

/** A piece of a long message. Memory for it is taken only when the piece before it is full. */
const PIECE_BYTES = 256 * 1024;
/** So many pieces are kept for later messages. */
const SPARE_PIECES = 32;

const spare: Uint8Array[] = [];

/** See the file's head. */
export class KeptBytes {
  readonly #byteLength: number;
  readonly #full: Uint8Array[] = [];
  /** The piece that is being filled, and the number of bytes in it. */
  #last: Uint8Array | null = null;
  #lastBytes = 0;
  #pieceBytes = 0;

  /** Of a message of `byteLength` bytes. */
  constructor(byteLength: number) {
    this.#byteLength = byteLength;
  }

  /** Where the next bytes belong; null if all have come. */
  room(): Uint8Array | null {
    return this.#piece()?.subarray(this.#lastBytes) ?? null;
  }

  /**
   * Takes the next bytes, which may already lie where {@link room} said.
   * @throws RangeError if they are more than the message has.
   */
  push(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.byteLength; ) {
      const piece = this.#piece();
      if (!piece) throw new RangeError(`more bytes than the message's ${this.#byteLength}`);
      const room = piece.subarray(this.#lastBytes);
      const part = at === 0 && bytes.byteLength <= room.byteLength ? bytes : bytes.subarray(at, at + room.byteLength);
      if (!isPartOf(room, 0, part)) room.set(part);
      at += part.byteLength;
      this.#lastBytes += part.byteLength;
      if (part.byteLength < room.byteLength) return;
      this.#full.push(piece);
      this.#last = null;
      this.#lastBytes = 0;
    }
  }

  /** The piece that is being filled, a new one after a full one; null if all bytes have come. */
  #piece(): Uint8Array | null {
    const missing = this.#byteLength - this.#pieceBytes;
    if (!this.#last && missing > 0) {
      this.#last = (missing >= PIECE_BYTES && spare.pop()) || new Uint8Array(Math.min(missing, PIECE_BYTES));
      this.#pieceBytes += this.#last.byteLength;
    }
    return this.#last;
  }

  /** Copies the bytes that have come to the start of `target`. */
  copyTo(target: Uint8Array): void {
    let at = 0;
    for (const piece of this.#full) {
      copyBytes(target, at, piece);
      at += piece.byteLength;
    }
    if (this.#last) copyBytes(target, at, this.#last.subarray(0, this.#lastBytes));
  }

  /** The bytes are not needed any more. A piece that is not full is let go: a socket may be about to read into it. */
  release(): void {
    for (const piece of this.#full.splice(0)) {
      if (piece.byteLength === PIECE_BYTES && spare.length < SPARE_PIECES) spare.push(piece);
    }
    this.#last = null;
  }
}

/** Are `bytes` those of `room` from `at` on, and not others that are to be copied there? */
export function isPartOf(room: Uint8Array, at: number, bytes: Uint8Array): boolean {
  return bytes.byteOffset === room.byteOffset + at && bytes.buffer === room.buffer;
}
