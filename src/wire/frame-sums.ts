/**
 * Frame sums: the two checksums of a frame, by which the ends of a link know that it came as it was sent.
 *
 *   payload's  XXH64 of the payload, seed 0
 *   head's     XXH64 of the header's first 48 bytes, with zeros in the field peer, and of the fingerprint if there is one; the
 *              seed is the source's rank + 2^32 × the destination's (ranks of the job, 0xFFFFFFFF for the hub)
 *
 * The head's covers the payload's, and the seed stands for the field peer, which a hub overwrites: so both are good from
 * rank to rank, through a hub, and a frame that goes to the wrong rank is noticed there. The head has a checksum of its own
 * because a rank acts on it before the payload has come.
 */
import { ProtocolError } from "../errors.ts";
import { CHECKSUM_BYTES, type Checksums, type RunningChecksum } from "./checksum.ts";
import { FINGERPRINT_BYTES, HEAD_SUM_AT, HEADER_BYTES, PAYLOAD_SUM_AT, PEER_AT } from "./frame.ts";

/** A frame came otherwise than it was sent. The message says what was seen. */
export class DamagedFrameError extends ProtocolError {}

/** Writes and checks the checksums of frames. */
export class FrameSums {
  readonly #checksums: Checksums;
  /** The bytes that the head's checksum covers. */
  readonly #covered = new Uint8Array(HEADER_BYTES - CHECKSUM_BYTES + FINGERPRINT_BYTES);
  readonly #sum = new Uint8Array(CHECKSUM_BYTES);

  constructor(checksums: Checksums) {
    this.#checksums = checksums;
  }

  /** Writes both checksums of a frame into its head. */
  seal(head: Uint8Array, parts: readonly Uint8Array[], source: number, destination: number): void {
    this.sealPayload(head, parts);
    this.sealHead(head, source, destination);
  }

  /** Writes the payload's checksum. A head with the same payload may get a copy of it. */
  sealPayload(head: Uint8Array, parts: readonly Uint8Array[]): void {
    this.#sumPayload(parts, head, PAYLOAD_SUM_AT);
  }

  /** Writes the head's checksum, after the payload's. */
  sealHead(head: Uint8Array, source: number, destination: number): void {
    this.#sumHead(head, source, destination, head, HEAD_SUM_AT);
  }

  /** @throws DamagedFrameError if the frame is not as `source` sent it to `destination`. */
  check(head: Uint8Array, parts: readonly Uint8Array[], source: number, destination: number): void {
    this.checkHead(head, source, destination);
    this.#sumPayload(parts, this.#sum, 0);
    this.#compare(head, PAYLOAD_SUM_AT, "the payload of a frame");
  }

  /** @throws DamagedFrameError if the head is not as `source` sent it to `destination`. */
  checkHead(head: Uint8Array, source: number, destination: number): void {
    this.#sumHead(head, source, destination, this.#sum, 0);
    this.#compare(head, HEAD_SUM_AT, "the header of a frame");
  }

  /** Begins the checksum of a payload that comes in pieces, all of which are to be added. */
  beginPayload(): RunningChecksum {
    return this.#checksums.begin();
  }

  /** @throws DamagedFrameError if `running`, which is over, is not the checksum of the payload in `head`. */
  checkPayload(head: Uint8Array, running: RunningChecksum): void {
    running.end(this.#sum, 0);
    this.#compare(head, PAYLOAD_SUM_AT, "the payload of a frame");
  }

  #sumPayload(parts: readonly Uint8Array[], target: Uint8Array, at: number): void {
    const [first = NOTHING] = parts;
    if (parts.length <= 1) {
      this.#checksums.write(first, 0, 0, target, at);
      return;
    }
    const running = this.#checksums.begin();
    for (const part of parts) running.add(part);
    running.end(target, at);
  }

  #sumHead(head: Uint8Array, source: number, destination: number, target: Uint8Array, at: number): void {
    const covered = this.#covered;
    covered.set(head.subarray(0, HEAD_SUM_AT));
    const fingerprint = head.subarray(HEADER_BYTES);
    covered.set(fingerprint, HEAD_SUM_AT);
    covered.fill(0, PEER_AT, PEER_AT + 4);
    const bytes = covered.subarray(0, HEAD_SUM_AT + fingerprint.byteLength);
    this.#checksums.write(bytes, source, destination, target, at);
  }

  #compare(head: Uint8Array, at: number, part: string): void {
    const sum = this.#sum;
    for (let i = 0; i < CHECKSUM_BYTES; i++) {
      if (sum[i] === head[at + i]) continue;
      const said = hex(head.subarray(at, at + CHECKSUM_BYTES));
      throw new DamagedFrameError(`${part} came with the checksum ${said}, and its bytes have ${hex(sum)}`);
    }
  }
}

const NOTHING = new Uint8Array(0);

/** The number, whose last byte stands first. */
function hex(sum: Uint8Array): string {
  return Array.from(sum, (byte) => byte.toString(16).padStart(2, "0"))
    .reverse()
    .join("");
}
