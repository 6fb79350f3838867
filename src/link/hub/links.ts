/** The links of one rank that a hub relays: one per peer, over the rank's one connection to the hub. */

import type { Link, LinkSums } from "../link.ts";
import type { FragmentsPayload } from "../payload/fragments.ts";
import type { HubConnection } from "./connection.ts";
import { HubLink } from "./link.ts";

/** See the file's head. */
export class HubLinks {
  readonly #connection: HubConnection;
  readonly #links = new Map<number, HubLink>();

  constructor(connection: HubConnection) {
    this.#connection = connection;
  }

  /** The link to `rank`, with checksums of its own or null. */
  link(rank: number, sums: LinkSums | null): Link {
    let link = this.#links.get(rank);
    if (!link) {
      link = new HubLink(this.#connection, sums);
      this.#links.set(rank, link);
    }
    return link;
  }

  /** A frame that `rank` sent; one for which there is no link is dropped. */
  deliver(rank: number, header: Uint8Array, payload: FragmentsPayload): void {
    this.#links.get(rank)?.deliver(header, payload);
  }

  /** `rank` is gone: its link, if it had one here, closes. */
  closed(rank: number): void {
    this.#links.get(rank)?.closed();
  }
}
