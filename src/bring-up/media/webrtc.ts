/**
 * Data channels: ranks that the hub would relay, such as tabs on different machines, linked directly by WebRTC. Each pair opens its
 * channel and, unless one of the two wants it in any case, compares it with the hub; which channels are used is exchanged once
 * more. A pair without one stays at the hub. Loaded where some rank of the job may have any.
 */
import { UnsupportedError } from "../../errors.ts";
import { compare, ROUNDS } from "../../link/webrtc/compare.ts";
import type { DataChannel } from "../../link/webrtc/data-channel.ts";
import { WebRtcLinks } from "../../link/webrtc/links.ts";
import type { Platform } from "../../platform.ts";
import type { Store } from "../../store/store.ts";
import { now } from "../../support/clock.ts";
import { textOf } from "../../support/thrown.ts";
import type { Cleanup } from "../cleanup.ts";
import type { Settings } from "../init-options.ts";
import { linkBetween } from "../linking.ts";
import { exchangeRoster, type RosterEntry } from "../roster.ts";
import { inTime } from "./in-time.ts";
import { type Medium, PLAIN } from "./medium.ts";

/** How long channels may take to open, and again to be compared with the hub, in milliseconds. */
const MOST_STEP_MS = 5_000;
/** Each of the two has at most this share of `timeoutMs`: meanwhile ranks without channels wait for that long in all. */
const STEP_SHARE = 1 / 4;
/** Both ends of a channel tell what they measured in this share of the time for the comparison, which is its last. */
const TELL_SHARE = 1 / 4;
/** The time of a hub that was not done in time: any channel is faster, also in the mean with another time. */
const NOT_IN_TIME_MS = 1e9;
/** Each rank's bytes through the hub, up and down. Over channels an allReduce of so many moves 2/n of them each way in each of n - 1. */
const PROBE_BYTES = 256 * 1024;
/** A channel is used that takes at most this share of the hub's time: one that is about as fast saves nothing. */
const WORTH = 0.8;
/** Of more ranks none opens channels unless it is told to: each would have one to every other. */
const MOST_RANKS = 16;

/** The parts and settings of this medium. */
export interface WebRtcOptions {
  rank: number;
  settings: Settings;
  store: Store;
  undo: Cleanup;
}

/**
 * The medium of this rank; null if it can make no channels.
 * @throws UnsupportedError if the settings ask for them; RangeError for servers that the runtime does not take.
 */
export async function openWebRtc(
  { loadPeerConnection }: Platform,
  { rank, settings, store, undo }: WebRtcOptions,
): Promise<WebRtcMedium | null> {
  const { transport, logger } = settings;
  const iceServers = (settings.iceServers ?? []) as RTCIceServer[];
  let Connection: typeof RTCPeerConnection;
  try {
    Connection = (await loadPeerConnection?.()) ?? missing();
  } catch (cause) {
    const text = `rank ${rank} has no data channels: ${textOf(cause)}`;
    if (transport === "webrtc") throw new UnsupportedError(`transport "webrtc": ${text}`, { cause });
    logger.info(text);
    return null;
  }
  if (iceServers.length > 0) tryServers(Connection, iceServers);
  const onError = (error: unknown) => logger.error("a data channel broke the protocol:", error);
  const links = new WebRtcLinks({ Connection, iceServers, rank, store, onError });
  undo.push(() => links.closeAllBut([]));
  return new WebRtcMedium(links, { rank, settings, store, undo });
}

function missing(): never {
  throw new UnsupportedError("there is no RTCPeerConnection here: a page has one in most browsers, a worker in none");
}

function tryServers(Connection: typeof RTCPeerConnection, iceServers: RTCIceServer[]): void {
  try {
    new Connection({ iceServers }).close();
  } catch (cause) {
    throw new RangeError(`initProcessGroup: iceServers: ${textOf(cause)}`, { cause });
  }
}

/** Opens this rank's channels, `own`; every rank of the job, those without channels too, hears which are used. */
export async function settleDataChannels(
  { rank, settings, store }: Omit<WebRtcOptions, "undo">,
  own: WebRtcMedium | null,
  offers: readonly RosterEntry[],
): Promise<readonly RosterEntry[]> {
  if (offers.every((entry) => partnersOf(offers, entry).length === 0)) return offers;
  const dataChannels = (await own?.open(offers)) ?? [];
  const roster = await exchangeRoster(store, "webrtc", { ...offers[rank]!, dataChannels }, settings);
  await own?.keep(roster);
  return roster;
}

/** The data channels of a rank. */
export class WebRtcMedium implements Medium {
  readonly settle = PLAIN.settle;
  readonly openRegion = PLAIN.openRegion;
  readonly kind = "webrtc";
  readonly offer: Medium["offer"];
  readonly #links: WebRtcLinks;
  readonly #options: WebRtcOptions;
  /** How long opening may take, and comparing again. */
  readonly #stepMs: number;
  /** Why there is no channel, or why it is not used, by rank. */
  readonly #reasons = new Map<number, string>();
  description = "no rank is there to which it would have one";

  constructor(links: WebRtcLinks, options: WebRtcOptions) {
    this.#links = links;
    this.#options = options;
    this.#stepMs = Math.min(MOST_STEP_MS, STEP_SHARE * options.settings.timeoutMs);
    this.offer = { webrtc: options.settings.transport === "webrtc" ? "always" : "faster" };
  }

  /** Opens and compares those of this rank; resolves to the ranks to which it would use one. */
  async open(offers: readonly RosterEntry[]): Promise<number[]> {
    const start = now();
    const own = offers[this.#options.rank]!;
    const partners = partnersOf(offers, own);
    const opened = await Promise.all(partners.map(async (other) => [other, await this.#connect(other.rank)] as const));
    const there = opened.filter((pair): pair is [RosterEntry, DataChannel] => pair[1] !== null);
    const doubtful = there.filter(([other]) => !isWanted(own, other));
    const bytes = Math.ceil((2 * PROBE_BYTES) / offers.filter(({ webrtc }) => webrtc).length);
    const slow = await this.#slowerThanHub(doubtful, bytes, start + 2 * this.#stepMs);
    return there.map(([other]) => other.rank).filter((other) => !slow.has(other));
  }

  /** Keeps the channels that both ends use, and takes out of the store what this rank wrote there: all have read it. */
  async keep(roster: readonly RosterEntry[]): Promise<void> {
    const { rank, settings, store } = this.#options;
    const own = roster[rank]!;
    const kept = roster.filter((other) => other !== own && linkBetween(own, other) === "webrtc");
    this.#links.closeAllBut(kept.map((other) => other.rank));
    await this.#links.forget();
    await store.deleteKey(probeOf(rank));
    for (const other of own.dataChannels) this.#reasons.set(other, "it does not use the channel that there was");
    for (const other of kept) this.#reasons.delete(other.rank);
    const without = [...this.#reasons].map(([other, reason]) => `not with rank ${other}: ${reason}`);
    const withWhom = kept.map((other) => `rank ${other.rank}`).join(", ");
    this.description = [...(withWhom ? [`with ${withWhom}`] : []), ...without].join("; ") || this.description;
    if (settings.transport === "webrtc" && without.length > 0) {
      settings.logger.warn(`data channels are missing, and the hub relays instead: ${without.join("; ")}`);
    }
  }

  async link(others: readonly RosterEntry[], take: Parameters<Medium["link"]>[1]): Promise<void> {
    for (const { rank } of others) take(rank, this.#links.link(rank));
  }

  async #connect(other: number): Promise<DataChannel | null> {
    const late = () => new Error(`no channel opened within ${this.#stepMs} ms`);
    try {
      return await inTime(this.#links.connect(other, this.#stepMs), this.#stepMs, late);
    } catch (error) {
      this.#links.close(other);
      this.#reasons.set(other, textOf(error));
      return null;
    }
  }

  /**
   * Compares these channels with the hub, all at once: in a call they are used at once, too. `deadline` is the same for all ranks,
   * more or less: the other end may begin later, because it waits for channels to others.
   */
  async #slowerThanHub(
    channels: readonly (readonly [RosterEntry, DataChannel])[],
    bytes: number,
    deadline: number,
  ): Promise<Set<number>> {
    const slow = new Set<number>();
    if (channels.length === 0) return slow;
    const hub = this.#hubMs(deadline - TELL_SHARE * this.#stepMs);
    hub.catch(() => {});
    await Promise.all(
      channels.map(async ([{ rank: other }, channel]) => {
        const late = () => new Error("it could not be compared with the hub in time");
        try {
          const { channelMs, hubMs } = await inTime(compare(channel, bytes, hub), deadline - now(), late);
          if (channelMs <= WORTH * hubMs) return;
          const size = `an allReduce of ${PROBE_BYTES / 1024} KiB`;
          const times = `${channelMs.toFixed(1)} ms by a channel and ${hubMs.toFixed(1)} by the hub`;
          this.#reasons.set(other, `${size} would take ${times}`);
        } catch (error) {
          this.#reasons.set(other, textOf(error));
        }
        slow.add(other);
      }),
    );
    return slow;
  }

  /** Milliseconds in which bytes come to the hub and back: the fastest round that ends before `deadline`. */
  async #hubMs(deadline: number): Promise<number> {
    let best = NOT_IN_TIME_MS;
    const late = new Error("the hub was not done in time");
    try {
      await inTime(
        this.#probeHub(deadline, (ms) => {
          best = Math.min(best, ms);
        }),
        deadline - now(),
        () => late,
      );
    } catch (error) {
      if (error !== late) throw error;
    }
    return best;
  }

  /** Writes and reads a value of this rank's own: so a rank that has given up its channels holds nobody up. */
  async #probeHub(deadline: number, onRound: (ms: number) => void): Promise<void> {
    const { rank, store } = this.#options;
    for (let round = 0; round < ROUNDS && now() < deadline; round++) {
      const start = now();
      await store.set(probeOf(rank), new Uint8Array(PROBE_BYTES));
      // What goes on through a narrow hub now would hold up the rest of bring-up.
      if (now() >= deadline) return;
      await store.get(probeOf(rank));
      onRound(now() - start);
    }
  }
}

const probeOf = (rank: number) => `webrtc/probe/${rank}`;

const isWanted = (a: RosterEntry, b: RosterEntry) => a.webrtc === "always" || b.webrtc === "always";

/** The ranks to which `entry` opens a channel: those that the hub would relay. */
function partnersOf(offers: readonly RosterEntry[], entry: RosterEntry): RosterEntry[] {
  if (!entry.webrtc) return [];
  const areFew = offers.filter(({ webrtc }) => webrtc).length <= MOST_RANKS;
  return offers.filter(
    (other) =>
      other.rank !== entry.rank &&
      other.webrtc &&
      (areFew || isWanted(entry, other)) &&
      linkBetween(entry, other) === "hub",
  );
}
