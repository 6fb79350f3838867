/**
 * Bystander: a rank that has no direct links, and so neither maps memory nor shares files. It takes part in the talk of those that do,
 * for all ranks have to know how any two are joined. Loaded where a rank is one.
 */
import type { RosterEntry } from "../roster.ts";
import { type FilesOptions, withoutFile } from "./files.ts";
import { withoutMapped } from "./mapped.ts";

/** What each rank's media have told, once those that map memory and share files have settled; this rank does neither because of `missing`. */
export async function settleBeside(
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
