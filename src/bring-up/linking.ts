/** Linking: how two ranks are joined, as the roster tells every rank alike, and the links of this rank. */

import { StoreError } from "../errors.ts";
import type { Link, LinkKind } from "../link/link.ts";
import { isLoopback } from "../support/host.ts";
import type { Cleanup } from "./cleanup.ts";
import type { Medium } from "./media/medium.ts";
import type { RosterEntry } from "./roster.ts";

/** Links from the fastest to the slowest. */
const LINK_SPEED: readonly LinkKind[] = [
  ...(["memory", "shared-memory", "mapped-memory", "shared-file"] as const),
  ...(["message-port", "websocket", "webrtc", "hub"] as const),
];

/**
 * How two ranks are joined; both come to the same answer. They have a direct link if both listen and the higher one can
 * reach the lower one's address, else a data channel if each says that it uses theirs, else the hub relays; over a direct link
 * they have memory in common if both have mapped it, else share files if each has the other's open.
 */
export function linkBetween(a: RosterEntry, b: RosterEntry): LinkKind {
  if (a.inMemory && b.inMemory) return "memory";
  if (a.thread && b.thread && a.thread.job === b.thread.job) return "shared-memory";
  if (a.tab && b.tab && a.tab.room === b.tab.room) return "message-port";
  const [lower, higher] = a.rank < b.rank ? [a, b] : [b, a];
  const url = higher.listenUrl && lower.listenUrl;
  if (url === null || (lower.hostId !== higher.hostId && isLoopback(new URL(url).hostname))) {
    return lower.dataChannels.includes(higher.rank) && higher.dataChannels.includes(lower.rank) ? "webrtc" : "hub";
  }
  if (lower.maps.includes(higher.rank) && higher.maps.includes(lower.rank)) return "mapped-memory";
  return lower.shares.includes(higher.rank) && higher.shares.includes(lower.rank) ? "shared-file" : "websocket";
}

/** The slowest link between any two of these ranks, by which algorithms are chosen: the same on every rank. */
export function slowestLink(members: readonly RosterEntry[]): LinkKind {
  let slowest = 0;
  for (const [i, a] of members.entries()) {
    for (let j = i + 1; j < members.length; j++) {
      slowest = Math.max(slowest, LINK_SPEED.indexOf(linkBetween(a, members[j]!)));
      // Nothing is slower: very many ranks that have the hub alone need not be compared in pairs.
      if (slowest === LINK_SPEED.length - 1) return "hub";
    }
  }
  return LINK_SPEED[slowest]!;
}

/** Can no other rank be linked to this one but by the hub? */
function hasHubAlone({ inMemory, thread, tab, listenUrl, dataChannels }: RosterEntry): boolean {
  return !inMemory && !thread && !tab && listenUrl === null && dataChannels.length === 0;
}

/**
 * The members in sets whose ranks are all linked directly, by their indices in the list: each member joins the first set to
 * whose ranks it has direct links. The sets are in the order of their first ranks, and the same on every rank.
 */
export function clustersOf(members: readonly RosterEntry[]): number[][] {
  const clusters: number[][] = [];
  // Those that others may join.
  const open: { indices: number[]; ranks: RosterEntry[] }[] = [];
  members.forEach((member, index) => {
    const isAlone = hasHubAlone(member);
    const home = isAlone
      ? undefined
      : open.find(({ ranks }) => ranks.every((other) => linkBetween(member, other) !== "hub"));
    home?.indices.push(index);
    home?.ranks.push(member);
    if (home) return;
    const indices = [index];
    clusters.push(indices);
    if (!isAlone) open.push({ indices, ranks: [member] });
  });
  return clusters;
}

/** Links this rank to every other one, each by the medium that joins the two. `farewell` is said where that is undone. */
export async function linkAll(
  roster: readonly RosterEntry[],
  rank: number,
  media: readonly Medium[],
  undo: Cleanup,
  farewell: (links: ReadonlyMap<number, Link>, cause: unknown) => Promise<void>,
): Promise<Map<number, Link>> {
  const links = new Map<number, Link>();
  let isUndone = false;
  undo.push(async (cause) => {
    isUndone = true;
    await farewell(links, cause);
    for (const link of links.values()) link.close();
  });
  const kindOf = (other: RosterEntry) => linkBetween(roster[rank]!, other);
  const others = roster.filter((other) => other.rank !== rank);
  const kinds = new Set(media.map(({ kind }) => kind));
  const apart = others.find((other) => !kinds.has(kindOf(other)));
  if (apart) {
    throw new StoreError(
      `rank ${rank} and rank ${apart.rank} cannot reach each other directly, and there is no hub to relay: ` +
        "meet through ws://, tcp:// or env://, or pass listen: { host, advertise }",
    );
  }
  await Promise.all(
    media.map((medium) =>
      medium.link(
        others.filter((other) => kindOf(other) === medium.kind),
        (other, link) => {
          if (isUndone) link.close();
          else links.set(other, link);
        },
      ),
    ),
  );
  return links;
}
