/** Hub: ranks that are connected to one hub, which relays between those that cannot reach each other. */
import type { HubConnection } from "../../link/hub/connection.ts";
import { HubLinks } from "../../link/hub/links.ts";
import { HubFolds } from "../../messaging/hub-folds.ts";
import type { Mesh } from "../../messaging/mesh.ts";
import { type Medium, PLAIN } from "./medium.ts";

/** The hub of a rank. */
export interface HubMedium extends Medium {
  readonly folds: HubFolds;
  /** From now on the mesh hears what the hub says: frames it relays, ranks that are gone, and its own end. */
  start(mesh: Mesh): void;
}

/** The medium of a rank with this connection. */
export function hubMedium(connection: HubConnection): HubMedium {
  const links = new HubLinks(connection);
  const folds = new HubFolds(connection);
  return {
    ...PLAIN,
    kind: "hub",
    folds,
    link: async (others, take) => {
      for (const { rank } of others) take(rank, links.link(rank));
    },
    start: (mesh) => {
      const { hostRank } = connection.welcome;
      connection.start({
        onFrame: (header, payload) => {
          const from = new DataView(header.buffer, header.byteOffset).getUint32(4, true);
          links.deliver(from, header, payload);
        },
        onFold: (header, payload) => folds.deliver(header, payload),
        onLost: (rank, reason) => mesh.lost(rank, reason),
        onLeft: (rank) => links.closed(rank),
        onClosed: () => {
          if (hostRank === null) mesh.hubLost(connection.url);
          else mesh.lost(hostRank, "the connection to the hub in its process closed");
        },
      });
    },
  };
}
