/** A hub link: a way to one peer through the hub, over the rank's one connection to it. */

import type { Link, LinkReceiver, Payload } from "../link.ts";
import type { HubConnection } from "./connection.ts";

/** One rank's end of a link that a hub relays. */
export class HubLink implements Link {
  readonly kind = "hub";
  readonly #connection: HubConnection;
  #receiver: LinkReceiver | null = null;
  #waiting: [Uint8Array, Payload][] = [];

  constructor(connection: HubConnection) {
    this.#connection = connection;
  }

  send(header: Uint8Array, payload: Uint8Array | null, onSent?: () => void): void {
    this.#connection.sendFrame(header, payload, onSent);
  }

  start(receiver: LinkReceiver): void {
    this.#receiver = receiver;
    for (const [header, payload] of this.#waiting) receiver.onFrame(header, payload);
    this.#waiting = [];
  }

  /** All links of this rank have one connection, which closes with the rank. */
  close(): void {}

  deliver(header: Uint8Array, payload: Payload): void {
    if (this.#receiver) this.#receiver.onFrame(header, payload);
    else this.#waiting.push([header, payload]);
  }

  closed(): void {
    this.#receiver?.onClose();
  }
}
