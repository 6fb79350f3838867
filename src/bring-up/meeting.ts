/**
 * Meeting: where the ranks of a job find each other. A hub (someone's, or the one that rank 0 hosts), a file, a job of this
 * thread, or a store of the caller's; behind each of them is a {@link Store}.
 */

import { fromWireError, HubLostError, PeerLostError } from "../errors.ts";
import { HubConnection } from "../link/hub/connection.ts";
import type { Link } from "../link/link.ts";
import { hubDamage } from "../link/payload/damage.ts";
import type { HubHandle, Platform } from "../platform.ts";
import { HashStore } from "../store/hash-store.ts";
import { HubStore } from "../store/hub-store.ts";
import { PrefixStore } from "../store/prefix-store.ts";
import type { Store } from "../store/store.ts";
import { startTimer } from "../support/clock.ts";
import { urlHost } from "../support/host.ts";
import type { Checksums } from "../wire/checksum.ts";
import { FrameSums } from "../wire/frame-sums.ts";
import type { Cleanup } from "./cleanup.ts";
import type { Generation } from "./generation.ts";
import { BIND_REMEDIES, filePath, masterAddress, type Settings, tcpAddress } from "./init-options.ts";
import { hubHasChecksums } from "./integrity.ts";
import type { Vigil } from "./vigil.ts";

/** Most milliseconds for a rank whose bring-up fails to tell the others by the store, which may be the reason. */
const TELL_MS = 1_000;

/** Where the ranks meet, once met. */
export interface Meeting {
  readonly rank: number;
  readonly epoch: number;
  readonly store: Store;
  readonly hub: HubConnection | null;
  /** The hub, if this rank hosts it. */
  readonly hosted: HubHandle | null;
  /** All links, where they need no bring-up. */
  readonly links: ReadonlyMap<number, Link> | null;
  /** This rank has come up. */
  readonly up?: () => Promise<void>;
  /** Gives up what was taken for the meeting. */
  readonly leave?: () => unknown;
}

/** How this rank comes to the meeting. */
export interface Coming {
  readonly undo: Cleanup;
  readonly vigil: Vigil;
  /** Has it been sent away from the meeting before, because another took its seat? */
  readonly again: boolean;
}

/** Finds the store, and this rank's number where a hub gives it. */
export async function meet(platform: Platform, settings: Settings, coming: Coming): Promise<Meeting> {
  const { method } = settings;
  const { undo } = coming;
  const store = settings.store ?? (method.protocol === "env:" ? await platform.threadJob()?.openStore?.() : null);
  if (store) return meetAt(store, platform, settings, coming);
  switch (method.protocol) {
    case "memory:":
      return meetInMemory(platform, settings, coming);
    case "file:": {
      // The last of all that use the file removes it.
      const file = await platform.openFileStore(filePath(method), settings.worldSize);
      undo.push(() => file.close());
      file.timeoutMs = settings.timeoutMs;
      const meeting = await meetAt(file, platform, settings, coming);
      const leave = async () => {
        await meeting.leave?.();
        await file.close();
      };
      return { ...meeting, leave };
    }
    case "ws:":
    case "wss:":
      return joinHub(platform, settings, `${method.protocol}//${method.host}`, null, coming);
    default: {
      const address = method.protocol === "env:" ? masterAddress(platform) : tcpAddress(method);
      const scheme = settings.listen.tls ? "wss" : "ws";
      const hosted = settings.rank === 0 ? await host(platform, settings, address, undo) : null;
      return joinHub(
        platform,
        settings,
        hosted?.url ?? `${scheme}://${urlHost(address.host)}:${address.port}`,
        hosted,
        coming,
      );
    }
  }
}

const WITHOUT_HUB = { epoch: 0, hub: null, hosted: null, links: null };

/** Meets in a part of `store` that no earlier meeting has written. */
async function meetAt(store: Store, platform: Platform, settings: Settings, coming: Coming): Promise<Meeting> {
  const { worldSize, groupName } = settings;
  const { Generation } = await import("./generation.ts");
  const rank = rankOf(settings);
  const guest = { rank, worldSize, groupName, again: coming.again };
  const generation = await Generation.enter(new PrefixStore(groupName, store), platform, guest);
  watch(generation, guest, coming);
  return {
    ...WITHOUT_HUB,
    rank,
    store: generation.store,
    up: () => generation.up(rank),
    leave: () => generation.leave(rank),
  };
}

/** Joins the ranks of this thread, in a store that no other meeting has. */
async function meetInMemory(platform: Platform, settings: Settings, coming: Coming): Promise<Meeting> {
  const { method, rank, worldSize, groupName, internal } = settings;
  const { joinMemoryJob } = await import("../link/memory/links.ts");
  const { Generation } = await import("./generation.ts");
  const name = method.href.slice("memory://".length);
  const seat = joinMemoryJob(name, rank, worldSize, internal.memory ?? {}, () => new HashStore());
  coming.undo.push(() => seat.leave());
  const store = new PrefixStore(groupName, seat.common);
  watch(new Generation(store, platform), { rank: seat.rank, worldSize }, coming);
  return { ...WITHOUT_HUB, ...seat, store };
}

/** Hears of the others until the bring-up is over, and tells them if it ends badly here. */
function watch(generation: Generation, guest: { rank: number; worldSize: number }, { undo, vigil }: Coming): void {
  undo.push((cause) => atMost(TELL_MS, generation.end(vigil.toOthers(guest.rank, cause))));
  // A store that cannot be looked at fails the bring-up by itself.
  generation.watch(guest, vigil).catch(() => {});
}

/** The same promise, or nothing after so many milliseconds. */
function atMost(limitMs: number, promise: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = startTimer(limitMs, resolve);
    promise.finally(() => timer.cancel()).then(resolve, reject);
  });
}

/** Hears at the hub of ranks that are lost, or whose bring-up has ended. One that left in order had all that it needed. */
function watchHub(hub: HubConnection, groupName: string, vigil: Vigil): void {
  const { hostRank } = hub.welcome;
  const lost = (rank: number, reason: string) =>
    vigil.hear(new PeerLostError(`rank ${rank} was lost during the bring-up: ${reason}`, { peer: rank }));
  hub.watch({
    onFrame: () => {},
    onFold: () => {},
    onDamaged: (rank, seen) => vigil.hear(hubDamage(groupName, rank, hub.url, seen)),
    onLost: lost,
    onLeft: (_rank, cause) => {
      if (cause) vigil.hear(fromWireError(cause));
    },
    onClosed: (code, reason) => {
      const text = `the link to the hub at ${hub.url} closed during the bring-up (${code}${reason && ` ${reason}`})`;
      if (hostRank === null) vigil.hear(new HubLostError(text, { url: hub.url }));
      else lost(hostRank, text);
    },
  });
}

/** This rank's number, which the settings have wherever no hub and no job of this thread gives it. */
function rankOf({ rank }: Settings): number {
  if (rank === null) throw new RangeError("rank is not given");
  return rank;
}

async function host(
  platform: Platform,
  { token, listen: { tls, insecure = false }, logger, peerTimeoutMs }: Settings,
  address: { host: string; port: number },
  undo: Cleanup,
): Promise<HubHandle> {
  const hub = await platform.startHub({
    ...address,
    hostRank: 0,
    insecure,
    remedies: BIND_REMEDIES,
    silenceMs: peerTimeoutMs,
    logger,
    ...(token === undefined ? {} : { token }),
    ...(tls === undefined ? {} : { tls }),
  });
  undo.push(() => hub.close());
  return hub;
}

async function joinHub(
  platform: Platform,
  { rank, worldSize, groupName, token, timeoutMs, signal, integrity }: Settings,
  url: string,
  hosted: HubHandle | null,
  { undo, vigil }: Coming,
): Promise<Meeting> {
  const checksums = hubHasChecksums(integrity, url);
  const sums = checksums ? new FrameSums(await openChecksums()) : null;
  const hello = { group: groupName, rank, worldSize, purpose: "hub" as const, checksums };
  const { socket, welcome } = await platform.connect(url, hello, { token, timeoutMs, signal });
  const hub = new HubConnection(socket, welcome, url, sums);
  undo.push((cause) => {
    hub.goodbye(vigil.toOthers(welcome.rank, cause));
    hub.close();
  });
  watchHub(hub, groupName, vigil);
  const store = new HubStore(hub);
  store.timeoutMs = timeoutMs;
  return { rank: welcome.rank, epoch: welcome.epoch, store, hub, hosted, links: null };
}

/** Checksums for the connection to the hub, which is made before this rank has an executor. */
async function openChecksums(): Promise<Checksums> {
  const { loadChecksums } = await import("../executor/checksum/checksums.ts");
  return loadChecksums(null);
}
