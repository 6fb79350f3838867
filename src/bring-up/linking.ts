/**
 * Linking: a link from this rank to every other one. The higher rank of each pair connects to the lower one, threads of one
 * job meet in their memory, and the hub relays between ranks that cannot reach each other.
 */
import { StoreError } from "../errors.ts";
import type { FileLinks } from "../link/files/links.ts";
import type { HubLinks } from "../link/hub/links.ts";
import type { Link } from "../link/link.ts";
import type { Listening } from "./media/sockets.ts";
import type { Threads } from "./media/threads.ts";
import type { Undo } from "./meeting.ts";
import { linkBetween, type RosterEntry } from "./roster.ts";

/** What makes links that are no sockets, where there are such. */
export interface LinkMakers {
  readonly relayed: HubLinks | null;
  readonly threads: Threads | null;
  readonly byFile: FileLinks | null;
}

export async function linkAll(
  roster: readonly RosterEntry[],
  rank: number,
  listening: Listening | null,
  { relayed, threads, byFile }: LinkMakers,
  undo: Undo[],
): Promise<Map<number, Link>> {
  const own = roster[rank]!;
  const links = new Map<number, Link>();
  undo.push(() => {
    for (const link of links.values()) link.close();
  });

  const byMemory = threads?.links(rank);
  if (byMemory) undo.push(() => byMemory.close());
  const direct: RosterEntry[] = [];
  for (const other of roster) {
    if (other.rank === rank) continue;
    const kind = linkBetween(own, other);
    if (kind === "shared-memory") links.set(other.rank, byMemory!.link(other.rank, other.thread!.index));
    else if (kind === "websocket" || kind === "shared-file") direct.push(other);
    else if (relayed) links.set(other.rank, relayed.link(other.rank));
    else {
      throw new StoreError(
        `rank ${rank} and rank ${other.rank} cannot reach each other directly, and there is no hub to relay: ` +
          "meet through ws://, tcp:// or env://, or pass listen: { host, advertise }",
      );
    }
  }
  await listening?.linkTo(direct, rank, (other, link) => {
    links.set(other.rank, linkBetween(own, other) === "websocket" ? link : byFile!.link(other.rank, link));
  });
  return links;
}
