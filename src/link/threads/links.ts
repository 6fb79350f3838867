/**
 * Shared-memory links: frames between threads of one job, through a ring for each direction of each pair.
 *
 * The ring carries headers, short payloads, and of long ones the address: a payload that lies in the threads' common
 * memory is read there by the receiver, any other is copied into it once. A sender whose message went by address is told
 * (`onSent`) when the receiver has passed it. Every rank has a bell, a word that rises whenever there is something for it
 * in any ring; it waits on that in its event loop.
 *
 *   byte  size  ring
 *      0     4  bytes written (modulo 2^32)
 *     64     4  bytes read (modulo 2^32)
 *    128     4  1: the writer waits for room
 *    192 RING_BYTES records
 *
 *   byte  size  record, a multiple of 16 bytes
 *      0     4  bytes of the record
 *      4     4  kind: 0 nothing (fills the ring's end) · 1 payload follows · 2 payload's address follows · 3 goodbye
 *      8     4  bytes of the frame's header
 *     12     4  bytes of the payload
 *     16        header, padded to 16, then payload or address
 */

import { keepAlive, type Timer } from "../../support/clock.ts";
import type { Link, LinkReceiver } from "../link.ts";
import { BytesPayload } from "../payload/bytes-payload.ts";
import type { AddressableHeap, Directory } from "./directory.ts";

const RING_BYTES = 131_072;
const RECORDS_AT = 192;
const WRITTEN = 0;
const READ = 16;
const WRITER_WAITS = 32;
const BELL_BYTES = 64;
/** Longer payloads go by address. */
const INLINE_BYTES = 4_096;
const RECORD_HEAD_BYTES = 16;

const Kind = { FILL: 0, INLINE: 1, ADDRESS: 2, CLOSE: 3 } as const;

const RING_KEY = 2 ** 52;
const BELL_KEY = 2 ** 52 + 2 ** 50;

/** Is `key` that of a bell? */
export function isBellKey(key: number): boolean {
  return key >= BELL_KEY;
}

/** What waits to be written, or to be passed. */
interface Outgoing {
  readonly header: Uint8Array | null;
  readonly payload: Uint8Array | null;
  readonly onSent: (() => void) | undefined;
}

/** A message by address that the receiver has not passed yet. */
interface Passing {
  /** Bytes written when it ends. */
  readonly end: number;
  readonly onSent: (() => void) | undefined;
  /** The block its payload was copied to, if it was. */
  readonly block: { address: number; byteLength: number } | null;
}

const NOTHING = new BytesPayload(new Uint8Array(0));

/** A ring, from either side. */
class Ring {
  readonly state: Int32Array;
  readonly words: Int32Array;
  readonly bytes: Uint8Array;

  constructor(heap: AddressableHeap, address: number) {
    const end = address + RECORDS_AT + RING_BYTES;
    const buffer = heap.bufferTo(end);
    this.state = new Int32Array(buffer, address, RECORDS_AT / 4);
    this.words = new Int32Array(buffer, address + RECORDS_AT, RING_BYTES / 4);
    this.bytes = new Uint8Array(buffer, address + RECORDS_AT, RING_BYTES);
  }
}

/** All links of one rank to threads of its job. */
export class ThreadLinks {
  readonly #rank: number;
  readonly #heap: AddressableHeap;
  readonly #directory: Directory;
  readonly #links = new Map<number, ThreadLink>();
  /** This rank's bell, and what keeps the process running, for a wait for the bell does not. Null while there is no link. */
  #listening: { bell: Int32Array; awake: Timer } | null = null;

  constructor(rank: number, heap: AddressableHeap, directory: Directory) {
    this.#rank = rank;
    this.#heap = heap;
    this.#directory = directory;
  }

  /** The link to rank `other`, which is thread `thread` of the job. */
  link(other: number, thread: number): ThreadLink {
    const rings = [ringKey(this.#rank, other), ringKey(other, this.#rank)].map(
      (key) => new Ring(this.#heap, this.#directory.acquire(key, RECORDS_AT + RING_BYTES)),
    );
    const link = new ThreadLink({
      heap: this.#heap,
      outgoing: rings[0]!,
      incoming: rings[1]!,
      bell: this.bellOf(other),
      hasEnded: () => this.#directory.hasEnded(thread),
      onClosed: () => this.#closed(other),
    });
    this.#links.set(other, link);
    if (!this.#listening) {
      this.#listening = { bell: this.bellOf(this.#rank), awake: keepAlive() };
      void this.#listen(this.#listening.bell);
    }
    return link;
  }

  /** Closes what is open: for a bring-up that failed. */
  close(): void {
    for (const link of [...this.#links.values()]) link.close();
  }

  bellOf(rank: number): Int32Array {
    const address = this.#directory.acquire(BELL_KEY + rank, BELL_BYTES);
    return new Int32Array(this.#heap.bufferTo(address + BELL_BYTES), address, BELL_BYTES / 4);
  }

  async #listen(bell: Int32Array): Promise<void> {
    while (this.#listening) {
      const seen = Atomics.load(bell, 0);
      for (const link of [...this.#links.values()]) link.attend();
      const { async, value } = Atomics.waitAsync(bell, 0, seen);
      if (async) await value;
    }
  }

  #closed(other: number): void {
    if (!this.#links.delete(other)) return;
    for (const key of [ringKey(this.#rank, other), ringKey(other, this.#rank), BELL_KEY + other]) {
      this.#directory.release(key);
    }
    if (this.#links.size === 0) this.#end();
  }

  #end(): void {
    if (!this.#listening) return;
    const { bell, awake } = this.#listening;
    this.#listening = null;
    awake.cancel();
    Atomics.add(bell, 0, 1);
    Atomics.notify(bell, 0);
    this.#directory.release(BELL_KEY + this.#rank);
  }
}

function ringKey(from: number, to: number): number {
  return RING_KEY + from * 2 ** 20 + to;
}

interface LinkParts {
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
  readonly #parts: LinkParts;
  #receiver: LinkReceiver | null = null;
  readonly #waiting: Outgoing[] = [];
  readonly #passing: Passing[] = [];
  #written = 0;
  #read = 0;
  #closing = false;
  /** The peer said goodbye, or its thread has ended. */
  #peerClosed = false;
  #done = false;

  constructor(parts: LinkParts) {
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
    this.#finish();
  }

  /** Looks for what has come, and for what was passed. */
  attend(): void {
    if (this.#done) return;
    const ended = this.#parts.hasEnded();
    this.#receive();
    this.#settle();
    this.#write();
    if (ended && !this.#peerClosed) this.#closedByPeer();
    this.#finish();
  }

  /** Writes what waits, as far as there is room. */
  #write(): void {
    const { state } = this.#parts.outgoing;
    let wrote = false;
    while (this.#waiting.length > 0) {
      if (!this.#put(this.#waiting[0]!)) {
        if (Atomics.exchange(state, WRITER_WAITS, 1) === 0) continue;
        break;
      }
      this.#waiting.shift();
      wrote = true;
    }
    if (wrote) this.#ring();
  }

  /** Writes one record; false if there is no room for it now. */
  #put({ header, payload, onSent }: Outgoing): boolean {
    const { heap, outgoing } = this.#parts;
    const { state, words, bytes } = outgoing;
    const headerBytes = header?.byteLength ?? 0;
    const payloadBytes = payload?.byteLength ?? 0;
    const byAddress = payloadBytes > INLINE_BYTES;
    const bodyBytes = padded(headerBytes) + (byAddress ? RECORD_HEAD_BYTES : padded(payloadBytes));
    const recordBytes = RECORD_HEAD_BYTES + bodyBytes;

    const used = (this.#written - Atomics.load(state, READ)) | 0;
    let at = this.#written & (RING_BYTES - 1);
    const fill = at + recordBytes > RING_BYTES ? RING_BYTES - at : 0;
    if (used + fill + recordBytes > RING_BYTES) return false;

    let address = -1;
    let block: Passing["block"] = null;
    if (byAddress) {
      address = heap.addressOf(payload!.buffer, payload!.byteOffset);
      if (address < 0) {
        address = heap.allocate(payloadBytes);
        if (address < 0) return false;
        block = { address, byteLength: payloadBytes };
        new Uint8Array(heap.bufferTo(address + payloadBytes), address, payloadBytes).set(payload!);
      }
    }
    if (fill > 0) {
      words[at / 4] = fill;
      words[at / 4 + 1] = Kind.FILL;
      at = 0;
    }
    words[at / 4] = recordBytes;
    words[at / 4 + 1] = header === null ? Kind.CLOSE : byAddress ? Kind.ADDRESS : Kind.INLINE;
    words[at / 4 + 2] = headerBytes;
    words[at / 4 + 3] = payloadBytes;
    if (header) bytes.set(header, at + RECORD_HEAD_BYTES);
    const bodyAt = at + RECORD_HEAD_BYTES + padded(headerBytes);
    if (byAddress) words[bodyAt / 4] = address;
    else if (payload) bytes.set(payload, bodyAt);

    this.#written = (this.#written + fill + recordBytes) | 0;
    if (byAddress) this.#passing.push({ end: this.#written, onSent: block ? undefined : onSent, block });
    Atomics.store(state, WRITTEN, this.#written);
    if (!byAddress || block) onSent?.();
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
      const at = this.#read & (RING_BYTES - 1);
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

  #ring(): void {
    Atomics.add(this.#parts.bell, 0, 1);
    Atomics.notify(this.#parts.bell, 0);
  }
}

function padded(byteLength: number): number {
  return Math.ceil(byteLength / 16) * 16;
}
