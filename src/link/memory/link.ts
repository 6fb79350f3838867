/**
 * A memory link: one rank's end of it. A frame is handed over by reference and delivered in a later microtask; the receiver
 * copies straight from the sender's bytes, so a message costs one copy, or none if it is passed as a handle.
 */

import type { Handle } from "../../executor/executor.ts";
import { sleep } from "../../support/clock.ts";
import type { HandleLink, LinkReceiver, Payload } from "../link.ts";
import { BytesPayload } from "../payload/bytes-payload.ts";

/** A message passed by reference. */
class HandlePayload implements Payload {
  readonly byteLength: number;
  readonly handle: Handle;

  constructor(handle: Handle) {
    this.handle = handle;
    this.byteLength = handle.byteLength;
  }

  copyTo(): never {
    throw new TypeError("a message passed by reference has no bytes here");
  }

  keep(): Payload {
    return this;
  }
}

const EMPTY = new BytesPayload(new Uint8Array(0));

interface Parcel {
  header: Uint8Array;
  payload: Payload;
  onSent: (() => void) | undefined;
  /** Resolves when it has been under way long enough; null if frames take no time. */
  arrival: Promise<void> | null;
}

/** Called before each delivery. The promise that it may return holds up this delivery and all later ones. */
export type Hold = () => Promise<void> | undefined;

/** One rank's end of a link to another rank of its thread. */
export class MemoryLink implements HandleLink {
  readonly kind = "memory";
  #other: MemoryLink | null = null;
  #receiver: LinkReceiver | null = null;
  readonly #inbox: Parcel[] = [];
  #draining = false;
  #closing = false;
  readonly #hold: Hold | null;
  readonly #latencyMs: number;

  private constructor(hold: Hold | null, latencyMs: number) {
    this.#hold = hold;
    this.#latencyMs = latencyMs;
  }

  /** Both ends of a link, over which a frame takes `latencyMs`. Each end gets the hold on its deliveries, or null. */
  static pair(
    holdAtFirst: Hold | null,
    holdAtSecond: Hold | null,
    latencyMs = 0,
  ): [first: MemoryLink, second: MemoryLink] {
    const first = new MemoryLink(holdAtFirst, latencyMs);
    const second = new MemoryLink(holdAtSecond, latencyMs);
    first.#other = second;
    second.#other = first;
    return [first, second];
  }

  send(header: Uint8Array, payload: Uint8Array | null, onSent?: () => void): void {
    this.#post(header, payload ? new BytesPayload(payload) : EMPTY, onSent);
  }

  sendHandle(header: Uint8Array, handle: Handle): void {
    this.#post(header, new HandlePayload(handle), undefined);
  }

  #post(header: Uint8Array, payload: Payload, onSent: (() => void) | undefined): void {
    const other = this.#other;
    if (this.#closing || !other || other.#closing) {
      onSent?.();
      payload.handle?.release();
      return;
    }
    const arrival = this.#latencyMs > 0 ? sleep(this.#latencyMs) : null;
    other.#inbox.push({ header, payload, onSent, arrival });
    other.#wake();
  }

  start(receiver: LinkReceiver): void {
    this.#receiver = receiver;
    this.#wake();
  }

  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    const other = this.#other;
    if (other !== null) other.#wake();
  }

  #wake(): void {
    const receiver = this.#receiver;
    if (this.#draining || !receiver) return;
    this.#draining = true;
    queueMicrotask(() => void this.#drain(receiver));
  }

  async #drain(receiver: LinkReceiver): Promise<void> {
    for (let parcel = this.#inbox.shift(); parcel; parcel = this.#inbox.shift()) {
      if (parcel.arrival) await parcel.arrival;
      const held = this.#hold?.();
      if (held) await held;
      receiver.onFrame(parcel.header, parcel.payload);
      parcel.onSent?.();
    }
    this.#draining = false;
    const other = this.#other;
    if (!this.#closing && other !== null && other.#closing) {
      this.#closing = true;
      receiver.onClose();
    }
  }
}
