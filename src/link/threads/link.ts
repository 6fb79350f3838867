/**
 * A thread link: one rank's end of it, over two rings (ring-buffer.ts).
 *
 * A ring carries headers, short payloads, and of long ones the address: a payload that lies in the threads' common memory
 * is read there by the receiver, any other is copied into it once. A sender whose message went by address is told
 * (`onSent`) when the receiver has passed it.
 */

import { keepAlive, type Timer } from "../../support/clock.ts";
import type { Link, LinkReceiver } from "../link.ts";
import { BytesPayload } from "../payload/bytes-payload.ts";
import type { AddressableHeap } from "./directory.ts";
import { Kind, padded, READ, RECORD_HEAD_BYTES, type Ring, WRITER_WAITS, WRITTEN } from "./ring-buffer.ts";

/** Longer payloads go by address, and those of which a ring would hold few. */
const INLINE_BYTES = 4_096;
const INLINE_PER_RING = 4;

/** A record that waits for room in the ring; without a header it says goodbye. */
interface Outgoing {
  readonly header: Uint8Array | null;
  readonly payload: Uint8Array | null;
  readonly onSent: (() => void) | undefined;
}

/** A message sent by address that the receiver has not passed yet. */
interface Passing {
  /** Bytes written when it ends. */
  readonly end: number;
  readonly onSent: (() => void) | undefined;
  /** The block its payload was copied to, if it was. */
  readonly block: { address: number; byteLength: number } | null;
}

const NOTHING = new BytesPayload(new Uint8Array(0));

/** Who makes a link gives it these: its two rings, and how it reaches the peer's thread. */
export interface ThreadLinkParts {
  heap: AddressableHeap;
  outgoing: Ring;
  incoming: Ring;
  /** The peer's. */
  bell: Int32Array;
  /** Has the peer's thread ended? */
  hasEnded(): boolean;
  onClosed(): void;
}

/** One rank's end of a link to another thread. */
export class ThreadLink implements Link {
  readonly kind = "shared-memory";
  readonly #parts: ThreadLinkParts;
  #receiver: LinkReceiver | null = null;
  readonly #waiting: Outgoing[] = [];
  readonly #passing: Passing[] = [];
  #written = 0;
  #read = 0;
  #closing = false;
  /** Keeps the process running until a link that was closed has written all its records. */
  #awake: Timer | null = null;
  /** The peer said goodbye, or its thread has ended. */
  #peerClosed = false;
  #done = false;

  constructor(parts: ThreadLinkParts) {
    this.#parts = parts;
  }

  send(header: Uint8Array, payload: Uint8Array | null, onSent?: () => void): void {
    if (this.#closing || this.#peerClosed) {
      onSent?.();
      return;
    }
    this.#waiting.push({ header, payload, onSent });
    this.#write();
  }

  start(receiver: LinkReceiver): void {
    this.#receiver = receiver;
    queueMicrotask(() => this.attend());
  }

  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#waiting.push({ header: null, payload: null, onSent: undefined });
    this.#write();
    if (this.#waiting.length > 0) this.#awake = keepAlive();
    this.#finish();
  }

  /**
   * Receives the records that have come, ends the messages that the peer has passed, and writes the records that wait.
   */
  attend(): void {
    if (this.#done) return;
    const ended = this.#parts.hasEnded();
    this.#receive();
    this.#settle();
    this.#write();
    if (ended && !this.#peerClosed) this.#closedByPeer();
    this.#finish();
  }

  /** Writes the records that wait, as far as there is room. */
  #write(): void {
    const { state } = this.#parts.outgoing;
    let wrote = false;
    for (let first = this.#waiting[0]; first; first = this.#waiting[0]) {
      if (!this.#put(first)) {
        if (Atomics.exchange(state, WRITER_WAITS, 1) === 0) continue;
        break;
      }
      this.#waiting.shift();
      wrote = true;
    }
    if (wrote) this.#ring();
    this.#letGo();
  }

  /** Writes one record; false if there is no room for it now. */
  #put({ header, payload, onSent }: Outgoing): boolean {
    const { heap, outgoing } = this.#parts;
    const { state, words, bytes } = outgoing;
    const headerBytes = header?.byteLength ?? 0;
    const payloadBytes = payload?.byteLength ?? 0;
    const ringBytes = bytes.byteLength;
    const long = payloadBytes > Math.min(INLINE_BYTES, ringBytes / INLINE_PER_RING) ? payload : null;
    const bodyBytes = padded(headerBytes) + (long ? RECORD_HEAD_BYTES : padded(payloadBytes));
    const recordBytes = RECORD_HEAD_BYTES + bodyBytes;

    const used = (this.#written - Atomics.load(state, READ)) | 0;
    let at = this.#written & (ringBytes - 1);
    const fill = at + recordBytes > ringBytes ? ringBytes - at : 0;
    if (used + fill + recordBytes > ringBytes) return false;

    let address = -1;
    let block: Passing["block"] = null;
    if (long) {
      address = heap.addressOf(long.buffer, long.byteOffset);
      if (address < 0) {
        address = heap.allocate(payloadBytes);
        if (address < 0) return false;
        block = { address, byteLength: payloadBytes };
        new Uint8Array(heap.bufferTo(address + payloadBytes), address, payloadBytes).set(long);
      }
    }
    if (fill > 0) {
      words[at / 4] = fill;
      words[at / 4 + 1] = Kind.FILL;
      at = 0;
    }
    words[at / 4] = recordBytes;
    words[at / 4 + 1] = header === null ? Kind.CLOSE : long ? Kind.ADDRESS : Kind.INLINE;
    words[at / 4 + 2] = headerBytes;
    words[at / 4 + 3] = payloadBytes;
    if (header) bytes.set(header, at + RECORD_HEAD_BYTES);
    const bodyAt = at + RECORD_HEAD_BYTES + padded(headerBytes);
    if (long) words[bodyAt / 4] = address;
    else if (payload) bytes.set(payload, bodyAt);

    this.#written = (this.#written + fill + recordBytes) | 0;
    if (long) this.#passing.push({ end: this.#written, onSent: block ? undefined : onSent, block });
    Atomics.store(state, WRITTEN, this.#written);
    if (!long || block) onSent?.();
    return true;
  }

  /** Ends the messages by address that the peer has passed. */
  #settle(): void {
    const read = Atomics.load(this.#parts.outgoing.state, READ);
    for (let first = this.#passing[0]; first && ((read - first.end) | 0) >= 0; first = this.#passing[0]) {
      this.#passing.shift();
      if (first.block) this.#parts.heap.release(first.block.address, first.block.byteLength);
      first.onSent?.();
    }
  }

  #receive(): void {
    const receiver = this.#receiver;
    const { heap, incoming } = this.#parts;
    const { state, words, bytes } = incoming;
    if (!receiver || this.#peerClosed) return;
    while (this.#read !== Atomics.load(state, WRITTEN)) {
      const at = this.#read & (bytes.byteLength - 1);
      const recordBytes = words[at / 4]!;
      const kind = words[at / 4 + 1];
      if (kind === Kind.CLOSE) {
        this.#closedByPeer();
        return;
      }
      if (kind !== Kind.FILL) {
        const headerBytes = words[at / 4 + 2]!;
        const payloadBytes = words[at / 4 + 3]! >>> 0;
        const headerAt = at + RECORD_HEAD_BYTES;
        const bodyAt = headerAt + padded(headerBytes);
        let payload = NOTHING;
        if (kind === Kind.ADDRESS) {
          const address = words[bodyAt / 4]! >>> 0;
          payload = new BytesPayload(new Uint8Array(heap.bufferTo(address + payloadBytes), address, payloadBytes));
        } else if (payloadBytes > 0) payload = new BytesPayload(bytes.subarray(bodyAt, bodyAt + payloadBytes));
        receiver.onFrame(bytes.subarray(headerAt, headerAt + headerBytes), payload);
      }
      this.#read = (this.#read + recordBytes) | 0;
      Atomics.store(state, READ, this.#read);
      if (kind === Kind.ADDRESS || Atomics.load(state, WRITER_WAITS) === 1) {
        Atomics.store(state, WRITER_WAITS, 0);
        this.#ring();
      }
    }
  }

  #closedByPeer(): void {
    this.#peerClosed = true;
    for (const { onSent, block } of this.#passing.splice(0)) {
      if (block) this.#parts.heap.release(block.address, block.byteLength);
      onSent?.();
    }
    for (const { onSent } of this.#waiting.splice(0)) onSent?.();
    this.#letGo();
    this.#receiver?.onClose();
  }

  /** Gives the rings up when this side has closed and the peer has all it sent, or is gone. */
  #finish(): void {
    if (this.#done || !this.#closing || (!this.#peerClosed && (this.#waiting.length > 0 || this.#passing.length > 0))) {
      return;
    }
    this.#done = true;
    this.#parts.onClosed();
  }

  #letGo(): void {
    if (this.#waiting.length > 0) return;
    this.#awake?.cancel();
    this.#awake = null;
  }

  #ring(): void {
    Atomics.add(this.#parts.bell, 0, 1);
    Atomics.notify(this.#parts.bell, 0);
  }
}
