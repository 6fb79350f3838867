/**
 * FrameCollector: collects each message of a connection with checksums until the frame in it is whole, as its header tells,
 * or the message ends. A length of the WebSocket's that grew on the way makes nobody wait for bytes that never come: what
 * follows is no frame, and is found out.
 */
import { ProtocolError } from "../../errors.ts";
import type { Account } from "../../support/account.ts";
import { carriedBytes, decodeHeader, HEADER_BYTES, headBytes } from "../../wire/frame.ts";
import type { ByteSink } from "../link.ts";
import { Pieces } from "./pieces.ts";

/** See the file's head. */
export class FrameCollector implements ByteSink {
  readonly #onFrame: (fragments: readonly Uint8Array[]) => void;
  readonly #pieces: Pieces;
  readonly #copy: (bytes: Uint8Array) => Uint8Array;
  readonly #header = new Uint8Array(HEADER_BYTES);
  /** Bytes of the message that have come. */
  #bytes = 0;
  #frameBytes = Number.POSITIVE_INFINITY;
  /** The frame was handed over; the message should end. */
  #isWhole = false;

  /**
   * `onFrame` gets what was collected, which it checks, and throws nothing. `account` is charged with what is not whole, whose bytes
   * `copy` copies.
   */
  constructor(
    onFrame: (fragments: readonly Uint8Array[]) => void,
    account: Account | null = null,
    copy: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes.slice(),
  ) {
    this.#onFrame = onFrame;
    this.#pieces = new Pieces(account);
    this.#copy = copy;
  }

  room(): null {
    return null;
  }

  push(bytes: Uint8Array, last: boolean): void {
    if (this.#bytes < HEADER_BYTES) this.#takeHeader(bytes);
    this.#bytes += bytes.byteLength;
    this.#pieces.add(this.#copy(bytes));
    const isExcess = this.#isWhole && bytes.byteLength > 0;
    if (isExcess || (!this.#isWhole && (last || this.#bytes >= this.#frameBytes))) {
      this.#isWhole = true;
      this.#onFrame(this.#pieces.take());
    }
    if (!last) return;
    this.#bytes = 0;
    this.#frameBytes = Number.POSITIVE_INFINITY;
    this.#isWhole = false;
  }

  #takeHeader(bytes: Uint8Array): void {
    this.#header.set(bytes.subarray(0, HEADER_BYTES - this.#bytes), this.#bytes);
    if (this.#bytes + bytes.byteLength < HEADER_BYTES) return;
    try {
      const header = decodeHeader(this.#header);
      this.#frameBytes = headBytes(header.flags) + carriedBytes(header);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#frameBytes = 0;
    }
  }
}
