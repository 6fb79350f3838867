/** Hub: ranks that are connected to one hub, which relays between those that cannot reach each other. */
import type { HubConnection } from "../../link/hub/connection.ts";
import { HubLinks } from "../../link/hub/links.ts";
import { HubFolds } from "../../messaging/hub-folds.ts";
import type { Mesh } from "../../messaging/mesh.ts";
import { type Medium, PLAIN } from "./medium.ts";

/** The hub of this rank. */
export class HubMedium implements Medium {
  readonly kind = "hub";
  readonly offer = PLAIN.offer;
  readonly settle = PLAIN.settle;
  readonly openRegion = PLAIN.openRegion;
  readonly description = PLAIN.description;
  readonly folds: HubFolds;
  readonly #connection: HubConnection;
  readonly #links: HubLinks;

  constructor(connection: HubConnection) {
    this.#connection = connection;
    this.#links = new HubLinks(connection);
    this.folds = new HubFolds(connection);
  }

  readonly link: Medium["link"] = async (others, take) => {
    for (const { rank } of others) take(rank, this.#links.link(rank));
  };

  /** From now on the mesh hears what the hub says: frames it relays, ranks that are gone, and its own end. */
  start(mesh: Mesh): void {
    const connection = this.#connection;
    const { hostRank } = connection.welcome;
    connection.start({
      onFrame: (header, payload) => {
        const from = new DataView(header.buffer, header.byteOffset).getUint32(4, true);
        this.#links.deliver(from, header, payload);
      },
      onFold: (header, payload) => this.folds.deliver(header, payload),
      onLost: (rank, reason) => mesh.lost(rank, reason),
      onLeft: (rank) => this.#links.closed(rank),
      onClosed: () => {
        if (hostRank === null) mesh.hubLost(connection.url);
        else mesh.lost(hostRank, "the connection to the hub in its process closed");
      },
    });
  }
}
