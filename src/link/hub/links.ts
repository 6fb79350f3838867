/** Hub links: what a hub relays, as one link per peer over the rank's one connection to it. */

import type { Link, LinkReceiver, Payload } from "../link.ts";
import type { HubConnection } from "./connection.ts";

/** A way to one peer through the hub. */
class HubLink implements Link {
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

  /** The connection is shared by all links of this rank, and closed with the rank. */
  close(): void {}

  deliver(header: Uint8Array, payload: Payload): void {
    if (this.#receiver) this.#receiver.onFrame(header, payload);
    else this.#waiting.push([header, payload]);
  }

  closed(): void {
    this.#receiver?.onClose();
  }
}

/** The links of one rank that a hub relays. */
export class HubLinks {
  readonly #connection: HubConnection;
  readonly #links = new Map<number, HubLink>();

  constructor(connection: HubConnection) {
    this.#connection = connection;
  }

  /** The link to `rank`. */
  link(rank: number): Link {
    let link = this.#links.get(rank);
    if (!link) {
      link = new HubLink(this.#connection);
      this.#links.set(rank, link);
    }
    return link;
  }

  /** A frame that `rank` sent; one for which there is no link is dropped. */
  deliver(rank: number, header: Uint8Array, payload: Payload): void {
    this.#links.get(rank)?.deliver(header, payload);
  }

  /** `rank` is gone: its link, if it had one here, closes. */
  closed(rank: number): void {
    this.#links.get(rank)?.closed();
  }
}
