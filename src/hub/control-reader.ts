/**
 * ControlReader: decodes the control messages of members. A long one comes in many pieces, which are joined: both have memory that
 * serves the next one too, and the bytes in a message are views of it. So a member that sends long calls leaves nothing behind
 * for the garbage collector, which would come to it when a hub holds several times as much as it may.
 */
import type { FragmentsPayload } from "../link/payload/fragments.ts";
import { CONTROL_LIMITS, decodeControl } from "../wire/control.ts";
import { expectFields, type Fields } from "../wire/schema.ts";
import { unpackInPlace } from "./unpack-in-place.ts";

/** Of most reads inside a long message. */
const PIECE_BYTES = 64 * 1024;
/** So many pieces are kept for later messages: those of one of 16 MiB. */
const SPARE_PIECES = 256;

/** See the file's head. */
export class ControlReader {
  readonly #spare: Uint8Array[] = [];
  /** The memory that `copy` gave out: other fragments lie where a runtime has read several members' bytes. */
  readonly #own = new WeakSet<ArrayBufferLike>();
  #joined = new Uint8Array(0);

  /** A copy of bytes that have come, for a message that is not whole yet. */
  readonly copy = (bytes: Uint8Array): Uint8Array => {
    // Not `slice`, which gives a view of the same memory where the bytes are a Buffer.
    if (bytes.byteLength !== PIECE_BYTES) return new Uint8Array(bytes);
    const copy = this.#spare.pop() ?? new Uint8Array(PIECE_BYTES);
    copy.set(bytes);
    this.#own.add(copy.buffer);
    return copy;
  };

  /**
   * The message, whose bytes are valid until the next one is read: whoever keeps them copies them. Its payload is used up.
   * @throws ProtocolError if it is none.
   */
  read(payload: FragmentsPayload): Fields {
    return expectFields(decodeControl(this.#bytesOf(payload), CONTROL_LIMITS, "a control message", unpackInPlace));
  }

  #bytesOf(payload: FragmentsPayload): Uint8Array {
    const { byteLength, fragments } = payload;
    if (fragments.length === 1) return fragments[0]!;
    if (byteLength > this.#joined.byteLength) this.#joined = new Uint8Array(2 ** Math.ceil(Math.log2(byteLength)));
    payload.copyTo(this.#joined);
    for (const { buffer } of fragments) {
      if (this.#own.delete(buffer) && this.#spare.length < SPARE_PIECES) this.#spare.push(new Uint8Array(buffer));
    }
    return this.#joined.subarray(0, byteLength);
  }
}
