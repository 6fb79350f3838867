/**
 * Settle: the talk of the ranks about their media, once all offers are known. Every rank of a job takes part in all of it, in
 * one order, whatever media it has: all have to know how any two are joined.
 */
import type { RosterEntry } from "../roster.ts";
import { type FilesOptions, withoutFile } from "./files.ts";
import { withoutMapped } from "./mapped.ts";
import type { Medium } from "./medium.ts";
import type { ProcessMedia } from "./processes.ts";
import type { TabMedia } from "./tabs.ts";

/** The media of a rank: all of them, and those that are settled apart. */
export interface OfferedMedia {
  readonly all: readonly Medium[];
  readonly processes: ProcessMedia | null;
  readonly tabs: TabMedia | null;
}

/** The roster, with what came of its offers. `missing` is why a rank without direct links shares nothing. */
export async function settleMedia(
  { all, processes, tabs }: OfferedMedia,
  options: Omit<FilesOptions, "underneath">,
  missing: string,
  offers: readonly RosterEntry[],
): Promise<readonly RosterEntry[]> {
  let roster = offers;
  for (const medium of all) roster = await medium.settle(roster);
  if (!processes) roster = await settleBeside({ ...options, underneath: null }, missing, roster);
  if (!offers.some(({ webrtc }) => webrtc)) return roster;
  return (await import("./webrtc.ts")).settleDataChannels(options, tabs?.webrtc ?? null, roster);
}

/** What those have told that map memory and share files, of which this rank does neither. */
async function settleBeside(
  options: FilesOptions,
  missing: string,
  offers: readonly RosterEntry[],
): Promise<readonly RosterEntry[]> {
  const { transport } = options.settings;
  let roster = offers;
  const mayMap = (entry: RosterEntry) => "path" in entry.mappedMemory;
  if (transport === "mapped-memory" || offers.some(mayMap))
    roster = await withoutMapped(options, missing).settle(roster);
  const mayShare = (entry: RosterEntry) => "path" in entry.sharedFile;
  if (transport === "shared-file" || offers.some(mayShare)) roster = await withoutFile(options, missing).settle(roster);
  return roster;
}
