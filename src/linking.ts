/**
 * Linking: a link from this rank to every other one. The higher rank of each pair connects to the lower one, threads of one
 * job meet in their memory, and the hub relays between ranks that cannot reach each other.
 */
import type { Listening } from "./direct-links.ts";
import { StoreError, TimeoutError } from "./errors.ts";
import type { Settings } from "./init-options.ts";
import type { Undo } from "./meeting.ts";
import { linkBetween, type RosterEntry } from "./roster.ts";
import type { Threads } from "./threads.ts";
import type { HubLinks } from "./transport/hub-links.ts";
import type { SharedFileLinks } from "./transport/shared-file-links.ts";
import type { Link } from "./transport/transport.ts";

/** What makes links that are no sockets, where there are such. */
export interface LinkMakers {
  readonly relayed: HubLinks | null;
  readonly threads: Threads | null;
  readonly byFile: SharedFileLinks | null;
}

export async function linkAll(
  { groupName, timeoutMs }: Settings,
  roster: readonly RosterEntry[],
  rank: number,
  listening: Listening | null,
  { relayed, threads, byFile }: LinkMakers,
  undo: Undo[],
): Promise<Map<number, Link>> {
  const own = roster[rank]!;
  const links = new Map<number, Link>();
  const pending = new Set<number>();
  undo.push(() => {
    for (const link of links.values()) link.close();
  });

  const link = async (other: RosterEntry, kind: "websocket" | "shared-file"): Promise<void> => {
    pending.add(other.rank);
    const direct = await listening!.linkTo(other, rank);
    links.set(other.rank, kind === "websocket" ? direct : byFile!.link(other.rank, direct));
    pending.delete(other.rank);
  };

  const byMemory = threads?.links(rank);
  if (byMemory) undo.push(() => byMemory.close());
  const direct: Promise<void>[] = [];
  for (const other of roster) {
    if (other.rank === rank) continue;
    const kind = linkBetween(own, other);
    if (kind === "shared-memory") links.set(other.rank, byMemory!.link(other.rank, other.thread!.index));
    else if (kind === "websocket" || kind === "shared-file") direct.push(link(other, kind));
    else if (relayed) links.set(other.rank, relayed.link(other.rank));
    else {
      throw new StoreError(
        `rank ${rank} and rank ${other.rank} cannot reach each other directly, and there is no hub to relay: ` +
          "meet through ws://, tcp:// or env://, or pass listen: { host, advertise }",
      );
    }
  }
  let timer: ReturnType<typeof setTimeout> | undefined;
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const missingRanks = [...pending].sort((a, b) => a - b);
      const text = `rank ${rank}: no link to rank ${missingRanks.join(", rank ")} within ${timeoutMs} ms`;
      reject(new TimeoutError(text, { group: groupName, rank, missingRanks }));
    }, timeoutMs);
  });
  try {
    await Promise.race([Promise.all(direct), expired]);
  } finally {
    clearTimeout(timer);
  }
  return links;
}
