/**
 * Files: processes of one host that exchange bytes through files in memory. Each rank makes a file, and opens those of the
 * others; who could open whose is exchanged once more, and tells which pairs are joined. The names are taken away as soon as
 * all have opened what they can: a job that dies leaves nothing. Loaded where a rank has direct links, which lie underneath.
 */

import { areasRows } from "../../algorithm/areas/rows.ts";
import type { GroupRegion } from "../../backend/direct/direct.ts";
import { RegionTurns } from "../../backend/direct/region-turns.ts";
import { UnsupportedError } from "../../errors.ts";
import type { HostExecutor } from "../../executor/executor.ts";
import { checkLayout, format, type Layout, layoutOf } from "../../link/files/layout.ts";
import { FileLinks, type LaidOut } from "../../link/files/links.ts";
import type { Channel } from "../../messaging/channel.ts";
import type { MemoryFile, MemoryFiles, Platform } from "../../platform.ts";
import { AreasRegion } from "../../region/areas/region.ts";
import type { Store } from "../../store/store.ts";
import { Pace } from "../../support/pace.ts";
import { textOf } from "../../support/thrown.ts";
import type { Cleanup } from "../cleanup.ts";
import type { Settings } from "../init-options.ts";
import { linkBetween } from "../linking.ts";
import { exchangeRoster, type FileOffer, type RosterEntry } from "../roster.ts";
import type { Medium, Offer } from "./medium.ts";

/** The parts and settings of the medium of files. */
export interface FilesOptions {
  rank: number;
  settings: Settings;
  store: Store;
  /** Works in every tensor's memory. */
  executor: HostExecutor;
  /** The medium of direct links; null if this rank has none. */
  underneath: Medium | null;
  undo: Cleanup;
}

/** This rank's file, still empty. */
interface OwnFile {
  readonly system: MemoryFiles;
  readonly path: string;
  readonly file: MemoryFile;
}

/** The medium of a rank that makes no file: it takes part in the talk of those that do. */
export function withoutFile(options: FilesOptions, missing: string): Medium {
  return new FilesMedium(options, null, { missing });
}

/** Makes the file of this rank, if the settings may want it. */
export function openFiles(platform: Platform, options: FilesOptions): Medium {
  const { transport, worldSize } = options.settings;
  const without = (missing: string) => withoutFile(options, missing);
  if (transport !== "auto" && transport !== "shared-file") return without(`its transport is "${transport}"`);
  if (worldSize === 1) return without("it is alone");
  try {
    const system = platform.memoryFiles();
    const { path, file } = system.create();
    options.undo.push(() => file.close());
    options.undo.push(() => system.unlink(path));
    return new FilesMedium(options, { system, path, file }, { path });
  } catch (error) {
    return without(textOf(error));
  }
}

class FilesMedium implements Medium {
  readonly kind = "shared-file";
  readonly offer: Offer;
  description = "";
  readonly #options: FilesOptions;
  readonly #own: OwnFile | null;
  #links: FileLinks | null = null;
  #region: AreasRegion | null = null;
  /** Areas are for one group: the first that has them all, which is that of all ranks. */
  #areasAreTaken = false;

  constructor(options: FilesOptions, own: OwnFile | null, sharedFile: FileOffer) {
    this.#options = options;
    this.#own = own;
    this.offer = { sharedFile };
  }

  /**
   * Opens the files of the other ranks of this host, tells what came of it and hears the same of the others.
   * @throws UnsupportedError if the settings name shared-file and this rank cannot reach every other one by it.
   */
  async settle(offers: readonly RosterEntry[]): Promise<readonly RosterEntry[]> {
    const { rank, settings } = this.#options;
    const roster = offers.some((entry) => partnersOf(offers, entry).length > 0) ? await this.#exchange(offers) : offers;
    this.#own?.system.unlink(this.#own.path);
    if (!this.#links) this.#own?.file.close();
    this.description = describe(roster, rank);
    const missed = roster.find((other) => other.rank !== rank && !isLinked(roster, rank, other.rank));
    if (settings.transport === "shared-file" && missed) {
      throw new UnsupportedError(
        `transport "shared-file": rank ${rank} and rank ${missed.rank} share no files: ${this.description}`,
      );
    }
    return roster;
  }

  link(others: readonly RosterEntry[], take: Parameters<Medium["link"]>[1]): Promise<void> {
    const links = this.#links;
    const { underneath } = this.#options;
    if (!links || !underneath) return Promise.resolve();
    return underneath.link(others, (rank, link) => take(rank, links.link(rank, link)));
  }

  openRegion({ group, rank, traffic }: Channel): GroupRegion | null {
    const { executor } = this.#options;
    const areas = this.#areasAreTaken ? null : this.#links?.openAreas();
    if (!areas) return null;
    this.#areasAreTaken = true;
    const pace = new Pace(() => new Promise<void>((resolve) => areas.waits.later(resolve)));
    const region = new AreasRegion({ areas, rank, group, executor, pace, traffic });
    this.#region = region;
    return {
      ...{ region, rows: areasRows, crowded: false, close: areas.close },
      turns: (scope) => new RegionTurns(scope, region.steps, pace),
    };
  }

  async #exchange(offers: readonly RosterEntry[]): Promise<readonly RosterEntry[]> {
    const { rank, settings, store, undo } = this.#options;
    const { logger } = settings;
    const own = { ...entryOf(offers, rank) };
    const opened = new Map<number, LaidOut>();
    undo.push(() => {
      for (const { file } of opened.values()) file.close();
    });
    const mine = this.#own && { file: this.#own.file, layout: layoutFor(offers, own) };
    if (this.#own && mine && mine.layout.others.length > 0) {
      try {
        format(mine.file, mine.layout);
        for (const other of mine.layout.others)
          opened.set(other, openFile(this.#own.system, entryOf(offers, other), offers));
      } catch (error) {
        own.sharedFile = { missing: textOf(error) };
        logger.warn(`this rank does not share files, and uses WebSockets instead: ${textOf(error)}`);
      }
      own.shares = "path" in own.sharedFile ? mine.layout.others : [];
    }
    const roster = await exchangeRoster(store, "shared-file", own, settings);
    for (const [other, { file, layout }] of opened) {
      if (isLinked(roster, rank, other)) checkLayout(file, layout);
      else {
        file.close();
        opened.delete(other);
      }
    }
    if (this.#own && mine && opened.size > 0) this.#links = this.#makeLinks(this.#own.system, mine, opened, offers);
    return roster;
  }

  #makeLinks(
    { waits }: MemoryFiles,
    own: LaidOut,
    theirs: ReadonlyMap<number, LaidOut>,
    offers: readonly RosterEntry[],
  ): FileLinks {
    const { rank, settings } = this.#options;
    const { hostId: here } = entryOf(offers, rank);
    const isCrowded = offers.filter(({ hostId }) => hostId === here).length > waits.cores;
    const onError = (other: number, error: unknown) =>
      settings.logger.error(`the shared file of rank ${other} broke the protocol:`, error);
    const onWake = () => this.#region?.woken();
    return new FileLinks({ kind: "shared-file", waits, isCrowded, own, theirs, onWake, onError });
  }
}

function entryOf(roster: readonly RosterEntry[], rank: number): RosterEntry {
  const entry = roster[rank];
  if (!entry) throw new RangeError(`the roster has no rank ${rank}`);
  return entry;
}

/** Are these two ranks joined by files? */
function isLinked(roster: readonly RosterEntry[], a: number, b: number): boolean {
  return linkBetween(entryOf(roster, a), entryOf(roster, b)) === "shared-file";
}

function openFile(system: MemoryFiles, entry: RosterEntry, offers: readonly RosterEntry[]): LaidOut {
  if (!("path" in entry.sharedFile)) throw new Error(`rank ${entry.rank} has no shared file`);
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
  const sharing = others.filter((other) => isLinked(roster, rank, other.rank));
  if (sharing.length > 0) return `with rank ${sharing.map((other) => other.rank).join(", rank ")}`;
  const own = entryOf(roster, rank).sharedFile;
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
