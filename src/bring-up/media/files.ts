/**
 * Who shares files with whom: what each rank offers at bring-up, which files each could open, and so which pairs are
 * joined by them. The names are taken away as soon as all have opened what they can: a job that dies leaves nothing.
 * `init.ts` loads this where a rank offers one.
 */
import { UnsupportedError } from "../../errors.ts";
import { checkLayout, format, type Layout, layoutOf } from "../../link/files/layout.ts";
import type { FileLinks, LaidOut } from "../../link/files/links.ts";
import type { MemoryFile, MemoryFiles, Platform } from "../../platform.ts";
import type { Store } from "../../store/store.ts";
import type { Settings } from "../init-options.ts";
import type { Undo } from "../meeting.ts";
import { exchangeRoster, type FileOffer, linkBetween, type RosterEntry } from "../roster.ts";

/** This rank's file, and what it tells the others. */
export interface SharedFileHere {
  readonly found: { system: MemoryFiles; path: string; file: MemoryFile } | null;
  readonly offer: FileOffer;
}

/** What this rank makes of all offers. */
export interface SharedFileChoice {
  /** The roster, in which it now stands who shares files. */
  readonly roster: readonly RosterEntry[];
  readonly links: FileLinks | null;
  /** For `info()`. */
  readonly reason: string;
}

/** Makes the file of this rank, which has direct links; still empty, and only if the settings may want it. */
export function offerSharedFile(platform: Platform, { transport, worldSize }: Settings, undo: Undo[]): SharedFileHere {
  const without = (missing: string): SharedFileHere => ({ found: null, offer: { missing } });
  if (transport !== "auto" && transport !== "shared-file") return without(`its transport is "${transport}"`);
  if (worldSize === 1) return without("it is alone");
  try {
    const system = platform.memoryFiles();
    const { path, file } = system.create();
    undo.push(() => file.close());
    undo.push(() => system.unlink(path));
    return { found: { system, path, file }, offer: { path } };
  } catch (error) {
    return without(textOf(error));
  }
}

/**
 * Opens the files of the other ranks of this host, tells what came of it and hears the same of the others.
 * @throws UnsupportedError if the settings name shared-file and this rank cannot reach every other one by it.
 */
export async function openSharedFiles(
  { found }: SharedFileHere,
  offers: readonly RosterEntry[],
  rank: number,
  store: Store,
  { transport, worldSize, timeoutMs, logger }: Settings,
  undo: Undo[],
): Promise<SharedFileChoice> {
  let roster = offers;
  let links: FileLinks | null = null;
  if (offers.some((entry) => partnersOf(offers, entry).length > 0)) {
    const opened = new Map<number, LaidOut>();
    undo.push(() => {
      for (const { file } of opened.values()) file.close();
    });
    const own = { ...offers[rank]! };
    const mine = found && { file: found.file, layout: layoutFor(offers, own) };
    if (found && mine && mine.layout.others.length > 0) {
      try {
        format(mine.file, mine.layout);
        for (const other of mine.layout.others) opened.set(other, openFile(found.system, offers, other));
      } catch (error) {
        own.sharedFile = { missing: textOf(error) };
        logger.warn(`rank ${rank} does not share files, and uses WebSockets instead: ${textOf(error)}`);
      }
      own.shares = "path" in own.sharedFile ? mine.layout.others : [];
    }
    roster = await exchangeRoster(store, "shared-file", own, worldSize, timeoutMs);
    const isLinked = (other: number) => linkBetween(roster[rank]!, roster[other]!) === "shared-file";
    for (const [other, { file, layout }] of opened) {
      if (isLinked(other)) checkLayout(file, layout);
      else {
        file.close();
        opened.delete(other);
      }
    }
    if (found && mine && opened.size > 0) {
      const { system } = found;
      const isCrowded = offers.filter(({ hostId }) => hostId === own.hostId).length > system.cores;
      const onError = (other: number, error: unknown) =>
        logger.error(`the shared file of rank ${other} broke the protocol:`, error);
      const { FileLinks } = await import("../../link/files/links.ts");
      links = new FileLinks({ system, isCrowded, own: mine, theirs: opened, onError });
    }
  }
  found?.system.unlink(found.path);
  if (!links) found?.file.close();
  const reason = describe(roster, rank);
  const missed = roster.find((other) => other.rank !== rank && linkBetween(roster[rank]!, other) !== "shared-file");
  if (transport === "shared-file" && missed) {
    throw new UnsupportedError(
      `transport "shared-file": rank ${rank} and rank ${missed.rank} share no files: ${reason}`,
    );
  }
  return { roster, links, reason };
}

function openFile(system: MemoryFiles, offers: readonly RosterEntry[], rank: number): LaidOut {
  const entry = offers[rank]!;
  if (!("path" in entry.sharedFile)) throw new Error(`rank ${rank} has no shared file`);
  return { file: system.open(entry.sharedFile.path), layout: layoutFor(offers, entry) };
}

/** How the file of `entry` is laid out: with areas if all ranks may share files, and none has tensors on a GPU. */
function layoutFor(offers: readonly RosterEntry[], entry: RosterEntry): Layout {
  const everywhere = offers.every((one) => partnersOf(offers, one).length === offers.length - 1);
  const onHosts = offers.every(({ arithmeticIds, cuda }) => arithmeticIds.length === 1 && "missing" in cuda);
  return layoutOf(entry.rank, partnersOf(offers, entry), everywhere && onHosts);
}

/** With whom this rank shares files, or why with nobody. */
function describe(roster: readonly RosterEntry[], rank: number): string {
  const others = roster.filter((other) => other.rank !== rank);
  const sharing = others.filter((other) => linkBetween(roster[rank]!, other) === "shared-file");
  if (sharing.length > 0) return `with rank ${sharing.map((other) => other.rank).join(", rank ")}`;
  const own = roster[rank]!.sharedFile;
  if ("missing" in own) return own.missing;
  const refusal = others.find(({ sharedFile }) => "missing" in sharedFile);
  const text = refusal && "missing" in refusal.sharedFile ? refusal.sharedFile.missing : "";
  return refusal ? `rank ${refusal.rank} does not: ${text}` : "no other rank is on this host";
}

/** The ranks that could share files with `entry`, ascending. */
function partnersOf(offers: readonly RosterEntry[], entry: RosterEntry): number[] {
  const hasFile = ({ sharedFile }: RosterEntry) => "path" in sharedFile;
  if (!hasFile(entry)) return [];
  return offers
    .filter((other) => other.rank !== entry.rank && other.hostId === entry.hostId && hasFile(other))
    .filter((other) => linkBetween(entry, other) === "websocket")
    .map((other) => other.rank);
}

const textOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
