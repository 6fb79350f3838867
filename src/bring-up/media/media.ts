/** Media: the ways in which this rank may be joined to others, best first. What a rank does not need is not loaded. */
import type { HostExecutor } from "../../executor/executor.ts";
import type { Platform } from "../../platform.ts";
import type { Settings } from "../init-options.ts";
import type { Meeting } from "../meeting.ts";
import type { RosterEntry } from "../roster.ts";
import { type HubMedium, hubMedium } from "./hub.ts";
import { type Medium, type Offer, PLAIN, type Undo } from "./medium.ts";
import type { SocketsMedium } from "./sockets.ts";
import type { Threads } from "./threads.ts";

/** A rank that has no direct links has no file. */
const NO_DIRECT_LINKS = "it has no direct links";

const NOTHING: Required<Offer> = {
  ...{ listenUrl: null, inMemory: false, thread: null },
  sharedFile: { missing: NO_DIRECT_LINKS },
};

/** The media of one rank. */
export interface Media {
  readonly all: readonly Medium[];
  /** What they offer together. */
  readonly offer: Required<Offer>;
  readonly files: Medium;
  readonly sockets: SocketsMedium | null;
  readonly hub: HubMedium | null;
}

/** Opens what this rank has, once it has met the others. */
export async function openMedia(
  platform: Platform,
  settings: Settings,
  { rank, store, hub: connection, links }: Meeting,
  { threads, executor }: { threads: Threads | null; executor: HostExecutor },
  undo: Undo[],
): Promise<Media> {
  const listens = platform.canListen && !links && settings.transport !== "hub";
  const sockets = listens
    ? await (await import("./sockets.ts")).openSockets(platform, settings, rank, store, undo)
    : null;
  const options = { rank, settings, store, executor, underneath: sockets, undo };
  const files = sockets ? (await import("./files.ts")).openFiles(platform, options) : withoutFiles(options);
  const hub = connection && hubMedium(connection);
  const memory = links && (await import("./memory.ts")).memoryMedium(links);
  const threadMedium = threads?.medium(rank, undo) ?? null;
  const all = [memory, threadMedium, files, sockets, hub].filter((medium) => medium !== null);
  const offer = { ...NOTHING };
  for (const medium of all) Object.assign(offer, medium.offer);
  return { all, offer, files, sockets, hub };
}

/** The roster, once all media have found out what comes of its offers. */
export async function settleMedia({ all }: Media, offers: readonly RosterEntry[]): Promise<readonly RosterEntry[]> {
  let roster = offers;
  for (const medium of all) roster = await medium.settle(roster);
  return roster;
}

/** Ranks that have files settle among all ranks of the job; so a rank without takes part if some rank has one. */
function withoutFiles(options: Parameters<typeof import("./files.ts").withoutFile>[0]): Medium {
  const hasFile = ({ sharedFile }: RosterEntry) => "path" in sharedFile;
  return {
    ...PLAIN,
    kind: "shared-file",
    offer: { sharedFile: { missing: NO_DIRECT_LINKS } },
    description: NO_DIRECT_LINKS,
    settle: async (roster) => {
      if (options.settings.transport !== "shared-file" && !roster.some(hasFile)) return roster;
      return (await import("./files.ts")).withoutFile(options, NO_DIRECT_LINKS).settle(roster);
    },
    link: async () => {},
  };
}
