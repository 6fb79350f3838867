/** A hub link: a way to one peer through the hub, over the rank's one connection to it. */

import { DamagedFrameError } from "../../wire/frame-sums.ts";
import type { Link, LinkReceiver, LinkSums, Payload } from "../link.ts";
import type { FragmentsPayload } from "../payload/fragments.ts";
import type { HubConnection } from "./connection.ts";

/** One rank's end of a link that a hub relays. */
export class HubLink implements Link {
  readonly kind = "hub";
  readonly #connection: HubConnection;
  readonly #sums: LinkSums | null;
  #receiver: LinkReceiver | null = null;
  #waiting: [Uint8Array, Payload][] = [];
  #damaged = false;

  /** `sums` is null if the frames have no checksums, or have them on the whole connection. */
  constructor(connection: HubConnection, sums: LinkSums | null) {
    this.#connection = connection;
    this.#sums = sums;
  }

  send(header: Uint8Array, payload: Uint8Array | null, onSent?: () => void): void {
    if (this.#sums) this.#sums.sums.seal(header, payload ? [payload] : [], this.#sums.own, this.#sums.other);
    this.#connection.sendFrame(header, payload, onSent);
  }

  start(receiver: LinkReceiver): void {
    this.#receiver = receiver;
    for (const [header, payload] of this.#waiting) receiver.onFrame(header, payload);
    this.#waiting = [];
  }

  /** All links of this rank have one connection, which closes with the rank. */
  close(): void {}

  deliver(header: Uint8Array, payload: FragmentsPayload): void {
    if (this.#damaged || !this.#isWhole(header, payload)) return;
    if (this.#receiver) this.#receiver.onFrame(header, payload);
    else this.#waiting.push([header, payload]);
  }

  closed(): void {
    this.#receiver?.onClose();
  }

  #isWhole(header: Uint8Array, payload: FragmentsPayload): boolean {
    if (!this.#sums) return true;
    const { sums, own, other } = this.#sums;
    try {
      sums.check(header, payload.fragments, other, own);
      return true;
    } catch (error) {
      if (!(error instanceof DamagedFrameError)) throw error;
      this.#damaged = true;
      this.#receiver?.onDamaged(error.message);
      return false;
    }
  }
}
