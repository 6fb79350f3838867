/** Hub: ranks that are connected to one hub, which relays between those that cannot reach each other. */
import { fromWireError } from "../../errors.ts";
import type { HostExecutor } from "../../executor/executor.ts";
import type { HubConnection } from "../../link/hub/connection.ts";
import { HubLinks } from "../../link/hub/links.ts";
import { HubFolds } from "../../messaging/hub-folds.ts";
import type { Mesh } from "../../messaging/mesh.ts";
import { peerOf } from "../../wire/frame.ts";
import { FrameSums } from "../../wire/frame-sums.ts";
import { wireHasChecksums } from "../integrity.ts";
import type { RosterEntry } from "../roster.ts";
import { type Medium, PLAIN } from "./medium.ts";
import type { MessagePorts } from "./message-port.ts";

/** The hub of a rank. */
export interface HubMedium extends Medium {
  readonly folds: HubFolds;
  /** From now on the mesh hears what the hub says: frames it relays, ranks that are gone, and its own end. */
  start(mesh: Mesh): void;
}

/** The medium of a rank with this connection. `executor` computes the checksums of frames; `ports` are told of tabs that are gone. */
export function hubMedium(
  connection: HubConnection,
  executor: HostExecutor,
  ports: Pick<MessagePorts, "ended"> | null,
): HubMedium {
  const links = new HubLinks(connection);
  const folds = new HubFolds(connection);
  let own: RosterEntry | undefined;
  /** This rank alone would do without. The hub folds what it sends into the results of others. */
  let needsHubChecksums = false;
  /** Null where the whole connection has checksums, or the link needs none. */
  const sumsOf = async (other: RosterEntry) => {
    if (connection.hasChecksums || !own || !wireHasChecksums(own, other, "hub")) return null;
    return { sums: new FrameSums(await executor.openChecksums()), own: own.rank, other: other.rank };
  };
  return {
    ...PLAIN,
    kind: "hub",
    folds,
    settle: async (roster) => {
      own = roster.find(({ rank }) => rank === connection.welcome.rank);
      needsHubChecksums = roster.some(({ integrity }) => integrity.wish !== "off") && own?.integrity.wish === "off";
      return roster;
    },
    link: async (others, take) => {
      if (connection.hasChecksums) connection.replaceChecksums(new FrameSums(await executor.openChecksums()));
      else if (needsHubChecksums) connection.startChecksums(new FrameSums(await executor.openChecksums()));
      for (const other of others) take(other.rank, links.link(other.rank, await sumsOf(other)));
    },
    start: (mesh) => {
      const { hostRank } = connection.welcome;
      if (hostRank !== null) mesh.relayedBy(hostRank);
      connection.start({
        onFrame: (header, payload) => {
          links.deliver(peerOf(header), header, payload);
        },
        onFold: (header, payload) => folds.deliver(header, payload),
        onDamaged: (rank, seen) => mesh.hubDamaged(rank, connection.url, seen),
        onHeld: (rank, by, isHeld) => mesh.held(rank, by, isHeld),
        onLost: (rank, reason) => {
          mesh.lost(rank, reason);
          ports?.ended(rank);
        },
        onLeft: (rank, cause) => {
          if (cause) mesh.failed(rank, fromWireError(cause));
          links.closed(rank);
        },
        onClosed: (code, reason) => {
          const text = `${code}${reason && ` ${reason}`}`;
          mesh.hubClosed();
          if (hostRank === null) mesh.hubLost(connection.url, text);
          else mesh.lost(hostRank, `the connection to the hub in its process closed (${text})`);
        },
      });
    },
  };
}
