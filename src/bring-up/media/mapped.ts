/**
 * Mapped memory: processes of one host that map one memory into their WebAssembly memories, and then run the algorithms of threads.
 * Each rank makes a memory, of which nothing is used yet; those of a host take that of their lowest rank. All ranks of a host map it,
 * or none does: who could is exchanged once more. Loaded where a rank has direct links, which lie underneath.
 */
import { addressableRows } from "../../algorithm/addressable/rows.ts";
import type { GroupRegion } from "../../backend/direct/direct.ts";
import { RegionTurns } from "../../backend/direct/region-turns.ts";
import { UnsupportedError } from "../../errors.ts";
import { createAddressableCpuExecutor } from "../../executor/cpu/cpu-executor.ts";
import type { AddressableExecutor } from "../../executor/executor.ts";
import { checkLayout, format, layoutOf } from "../../link/files/layout.ts";
import { FileLinks, type LaidOut } from "../../link/files/links.ts";
import { boardOf, type WindowLayout, windowLayout } from "../../link/mapped/window.ts";
import type { Channel } from "../../messaging/channel.ts";
import type { Platform } from "../../platform.ts";
import { boardBytes } from "../../region/addressable/board.ts";
import { gateBytes } from "../../region/addressable/gate-words.ts";
import { ProcessSleep } from "../../region/addressable/process-sleep.ts";
import { AddressableRegion } from "../../region/addressable/region.ts";
import { Pace } from "../../support/pace.ts";
import { textOf } from "../../support/thrown.ts";
import type { Settings } from "../init-options.ts";
import { linkBetween } from "../linking.ts";
import { exchangeRoster, type RosterEntry } from "../roster.ts";
import type { FilesOptions } from "./files.ts";
import { MappedWindow, type MappingMeans, WINDOW_BYTES } from "./mapped-window.ts";
import type { Medium, Offer } from "./medium.ts";

/** A rank that may map memory, or says why it cannot. */
export class Mapped {
  readonly means: MappingMeans | { readonly missing: string };

  private constructor(means: Mapped["means"]) {
    this.means = means;
  }

  /** Finds out whether this process is to, and can. */
  static async open({ mappedMemory }: Platform, settings: Settings): Promise<Mapped> {
    const unwanted = whyNotWanted(settings);
    if (unwanted !== null || !mappedMemory) return new Mapped({ missing: unwanted ?? "this runtime has no processes" });
    try {
      const system = await mappedMemory();
      const made = await createAddressableCpuExecutor();
      return new Mapped(made ? { system, ...made } : { missing: "WebAssembly may not run here" });
    } catch (error) {
      return new Mapped({ missing: textOf(error) });
    }
  }

  /** Works in memory that others can come to have a part of; null if this process cannot map memory. */
  get executor(): AddressableExecutor | null {
    return "missing" in this.means ? null : this.means.executor;
  }
}

function whyNotWanted({ transport, method, worldSize, internal }: Settings): string | null {
  if (transport !== "auto" && transport !== "mapped-memory") return `its transport is "${transport}"`;
  if (method.protocol === "memory:") return "it meets the others in memory";
  if (worldSize === 1) return "it is alone";
  return internal.wasm === false ? "WebAssembly is switched off" : null;
}

/** The medium of a rank that has direct links; `mapped` is null for a thread. */
export function mappedMedium(mapped: Mapped | null, options: FilesOptions): Medium {
  const means = mapped?.means ?? { missing: "it is a thread of a job" };
  if ("missing" in means) return withoutMapped(options, means.missing);
  try {
    return new MappedMedium(options, new MappedWindow(means));
  } catch (error) {
    return withoutMapped(options, textOf(error));
  }
}

/** The medium of a rank that maps no memory: it takes part in the talk of those that do. */
export function withoutMapped(options: FilesOptions, missing: string): Medium {
  return new MappedMedium(options, { missing });
}

/** The ranks of one host that have mapped one memory, as one of them sees them. */
interface Joined {
  readonly window: MappedWindow;
  readonly layout: WindowLayout;
  readonly links: FileLinks;
}

class MappedMedium implements Medium {
  readonly kind = "mapped-memory";
  readonly offer: Offer;
  description = "";
  readonly #options: FilesOptions;
  readonly #window: MappedWindow | null;
  #joined: Joined | null = null;
  /** By group. */
  readonly #sleeps = new Map<number, ProcessSleep>();
  /** Links are open. */
  #hasLinks = false;
  /** No rank has a GPU or NCCL. Bytes that are read back from a GPU come in segments, and messages overlap those better. */
  #allOnHosts = false;

  constructor(options: FilesOptions, own: MappedWindow | { readonly missing: string }) {
    this.#options = options;
    this.#window = own instanceof MappedWindow ? own : null;
    this.offer = { mappedMemory: own instanceof MappedWindow ? own.offer : own };
    options.undo.push(() => this.#window?.end());
  }

  /**
   * Maps the memory of this host's lowest rank, tells what came of it and hears the same of the others.
   * @throws UnsupportedError if the settings name mapped-memory and this rank cannot reach every other one by it.
   */
  async settle(offers: readonly RosterEntry[]): Promise<readonly RosterEntry[]> {
    const { rank, settings } = this.#options;
    const isAsked = offers.some((entry) => canMap(neighboursOf(offers, entry)));
    const roster = isAsked ? await this.#exchange(offers) : offers;
    if (!this.#joined) this.#window?.end();
    this.description = describe(roster, rank, this.#window?.means.system.ffi);
    const missed = roster.find((other) => other.rank !== rank && !isLinked(roster, rank, other.rank));
    if (settings.transport === "mapped-memory" && missed) {
      throw new UnsupportedError(
        `transport "mapped-memory": rank ${rank} and rank ${missed.rank} map no memory: ${this.description}`,
      );
    }
    return roster;
  }

  link(others: readonly RosterEntry[], take: Parameters<Medium["link"]>[1]): Promise<void> {
    const { underneath } = this.#options;
    const links = this.#joined?.links;
    if (!links || !underneath) return Promise.resolve();
    this.#hasLinks = true;
    return underneath.link(others, (rank, link) => take(rank, links.link(rank, link)));
  }

  openRegion(channel: Channel): GroupRegion | null {
    const position = this.#allOnHosts && this.#joined ? this.#boardOf(channel, this.#joined) : -1;
    return position < 0 || !this.#joined ? null : this.#regionAt(position, channel, this.#joined);
  }

  #boardOf({ group }: Channel, { window, layout }: Joined): number {
    return boardOf(window.buffer, window.start, layout, group);
  }

  #regionAt(position: number, channel: Channel, { window, links }: Joined): GroupRegion {
    const { group, rank, size } = channel;
    const { start, buffer, common, means } = window;
    const { cores, later } = means.system.waits;
    const address = start + position;
    const turn = () => new Promise<void>((resolve) => later(resolve));
    const sleep = new ProcessSleep({
      words: new Int32Array(buffer, address, gateBytes(size) / 4),
      ...{ rank, size },
      block: (seen, ms) => common.wait(position, seen, ms),
      wakeBlocked: () => common.wake(position),
      wake: (other) => links.wake(channel.peer(other).rank, group),
      turn,
    });
    this.#sleeps.set(group, sleep);
    const pace = new Pace(turn);
    const region = new AddressableRegion({
      ...{ buffer, address, rank, size, executor: means.executor, sleep, cores, pace },
      common: { start, end: start + WINDOW_BYTES },
    });
    return {
      ...{ region, rows: addressableRows, crowded: size > cores },
      turns: (scope) => new RegionTurns(scope, region.steps, pace),
      close: () => {
        this.#sleeps.delete(group);
        this.#endIfDone();
      },
    };
  }

  async #exchange(offers: readonly RosterEntry[]): Promise<readonly RosterEntry[]> {
    const { rank, settings, store } = this.#options;
    const own = { ...entryOf(offers, rank) };
    const neighbours = neighboursOf(offers, own);
    let joined: (Joined & { readonly blocks: readonly LaidOut[] }) | null = null;
    if (this.#window && canMap(neighbours)) {
      try {
        joined = this.#join(this.#window, neighbours);
        own.maps = neighbours.map((entry) => entry.rank);
      } catch (error) {
        own.mappedMemory = { missing: textOf(error) };
        settings.logger.warn(
          `this rank maps no memory, and its host uses files or WebSockets instead: ${textOf(error)}`,
        );
      }
    }
    const roster = allOrNone(await exchangeRoster(store, "mapped-memory", own, settings));
    if (!joined || entryOf(roster, rank).maps.length === 0) return roster;
    for (const { file, layout } of joined.blocks) checkLayout(file, layout);
    joined.window.useOwnPart(
      joined.layout,
      neighbours.findIndex((entry) => entry.rank === rank),
    );
    this.#allOnHosts = roster.every(({ arithmeticIds, cuda }) => arithmeticIds.length === 1 && "missing" in cuda);
    this.#joined = joined;
    return roster;
  }

  /** Maps the first neighbour's memory, and writes this rank's block. */
  #join(window: MappedWindow, neighbours: readonly RosterEntry[]): Joined & { readonly blocks: readonly LaidOut[] } {
    const { rank, settings } = this.#options;
    const ranks = neighbours.map((entry) => entry.rank);
    const layouts = ranks.map((one) =>
      layoutOf(
        one,
        ranks.filter((other) => other !== one),
        false,
      ),
    );
    const [firstLayout] = layouts;
    const [first] = neighbours;
    if (!first || !firstLayout) throw new Error("no rank of this host has memory");
    const layout = windowLayout(ranks.length, WINDOW_BYTES, firstLayout, boardBytes(ranks.length));
    window.map(first.mappedMemory);
    if (first.rank === rank) window.common.reserve(0, layout.blocksAt);
    const onClose = (one: number) => {
      if (one !== rank) return;
      this.#hasLinks = false;
      this.#endIfDone();
    };
    const blocks = layouts.map((one, index) => ({
      file: window.blockOf(layout, index, () => onClose(one.rank)),
      layout: one,
    }));
    const own = blocks[ranks.indexOf(rank)]!;
    format(own.file, own.layout);
    const { waits } = window.means.system;
    const links = new FileLinks({
      ...{ kind: this.kind, waits, own, isCrowded: ranks.length > waits.cores },
      theirs: new Map(blocks.filter((one) => one !== own).map((one) => [one.layout.rank, one])),
      onWake: (group) => this.#sleeps.get(group)?.woken(),
      onError: (other, error) => settings.logger.error(`the common memory of rank ${other} broke the protocol:`, error),
    });
    return { window, layout, links, blocks };
  }

  #endIfDone(): void {
    if (!this.#hasLinks && this.#sleeps.size === 0) this.#window?.end();
  }
}

function entryOf(roster: readonly RosterEntry[], rank: number): RosterEntry {
  const entry = roster[rank];
  if (!entry) throw new RangeError(`the roster has no rank ${rank}`);
  return entry;
}

/** The ranks of `entry`'s host that can have direct links, this one with them. */
function neighboursOf(offers: readonly RosterEntry[], { hostId }: RosterEntry): RosterEntry[] {
  return offers.filter((other) => other.hostId === hostId && other.listenUrl !== null);
}

/** Does each of a host's ranks offer memory? */
function canMap(neighbours: readonly RosterEntry[]): boolean {
  return neighbours.length > 1 && neighbours.every(({ mappedMemory }) => "path" in mappedMemory);
}

/** Where one rank of a host could not map the memory, none has. */
function allOrNone(roster: readonly RosterEntry[]): readonly RosterEntry[] {
  return roster.map((entry) => {
    const couldAll = neighboursOf(roster, entry).every(({ maps }) => maps.length > 0);
    return couldAll ? entry : { ...entry, maps: [] };
  });
}

function isLinked(roster: readonly RosterEntry[], a: number, b: number): boolean {
  return linkBetween(entryOf(roster, a), entryOf(roster, b)) === "mapped-memory";
}

/** With whom this rank has memory in common, or why with nobody. */
function describe(roster: readonly RosterEntry[], rank: number, ffi: string | undefined): string {
  const others = roster.filter((other) => other.rank !== rank);
  const joined = others.filter((other) => isLinked(roster, rank, other.rank));
  if (joined.length > 0) return `with rank ${joined.map((other) => other.rank).join(", rank ")}, through ${ffi}`;
  const own = entryOf(roster, rank);
  if ("missing" in own.mappedMemory) return own.mappedMemory.missing;
  for (const { rank: other, mappedMemory } of neighboursOf(roster, own)) {
    if ("missing" in mappedMemory) return `rank ${other} does not: ${mappedMemory.missing}`;
  }
  return "no other rank is on this host";
}
