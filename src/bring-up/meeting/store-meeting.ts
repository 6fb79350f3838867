/** Meetings without a hub: at a store of the caller's, at a file, or in this thread. Loaded where ranks meet so. */

import { TimeoutError, type WebcclError } from "../../errors.ts";
import type { Platform } from "../../platform.ts";
import { checkedStore } from "../../store/checked-store.ts";
import { PrefixStore } from "../../store/prefix-store.ts";
import { SpaceStore } from "../../store/space-store.ts";
import type { Store } from "../../store/store.ts";
import { startQuietTimer, startTimer } from "../../support/clock.ts";
import { decodeUtf8 } from "../../support/utf8.ts";
import { filePath, type Settings } from "../init-options.ts";
import type { Coming, Meeting } from "./contract.ts";
import { Generation } from "./generation.ts";

/** Most milliseconds for a rank whose bring-up fails to tell the others by the store, which may be the reason. */
const TELL_MS = 1_000;
/** Milliseconds in which a store of the caller's has told who is missing, when the time for the bring-up is over. */
const ANSWER_MS = 1_000;

const WITHOUT_HUB = { epoch: 0, hub: null, hosted: null, links: null, resume: undefined };

/** @throws RangeError if this rank has a ticket, which nobody here can read. */
function expectNoTicket({ ticket, method, store }: Settings): void {
  if (ticket === undefined) return;
  throw new RangeError(
    `the option ticket is for a hub, as is initMethod "ws://host:port/group"; ${store ? "at a store" : `at ${method.protocol}//`} there is none`,
  );
}

/** Meets in a part of `store` that no earlier meeting has written. */
export async function meetAt(store: Store, platform: Platform, settings: Settings, coming: Coming): Promise<Meeting> {
  expectNoTicket(settings);
  const { worldSize, groupName } = settings;
  if (settings.join) return joinAt(new PrefixStore(groupName, store), settings);
  const guest = { rank: settings.rank, worldSize, groupName, again: coming.again };
  const { generation, rank } = await Generation.enter(new PrefixStore(groupName, store), platform, guest);
  if (rank === 0) await generation.store.set("seats", String(worldSize));
  watch(generation, { rank, worldSize }, coming);
  return {
    ...WITHOUT_HUB,
    rank,
    store: generation.store,
    up: () => generation.up(rank),
    leave: () => generation.leave(rank),
  };
}

/** Meets at a store of the caller's, of which nobody knows whether it keeps its promises, and how long it takes. */
export async function meetAtGiven(
  store: Store,
  platform: Platform,
  settings: Settings,
  coming: Coming,
): Promise<Meeting> {
  const { timeoutMs, groupName } = settings;
  const late = `group "${groupName}": the store has not answered within ${timeoutMs + ANSWER_MS} ms`;
  // When the bring-up is over nothing is heard any more.
  startQuietTimer(timeoutMs + ANSWER_MS, () => coming.vigil.hear(new TimeoutError(late)));
  return meetAt(checkedStore(store), platform, settings, coming);
}

/** Finds the latest meeting in `store`, of which the group that runs has come, and takes a seat behind all others. */
async function joinAt(store: Store, { timeoutMs, signal, groupName }: Settings): Promise<Meeting> {
  const { waitInPieces } = await import("../../membership/knocks.ts");
  const late = () => new TimeoutError(`there was no group "${groupName}" to join within ${timeoutMs} ms`);
  await waitInPieces(store, "generation", timeoutMs, signal, late);
  const meeting = new PrefixStore(decodeUtf8(await store.get("generation")), store);
  await waitInPieces(meeting, "seats", timeoutMs, signal, late);
  return { ...WITHOUT_HUB, rank: (await meeting.add("seats", 1)) - 1, store: meeting };
}

/** Meets in a file that all ranks see. */
export async function meetAtFile(platform: Platform, settings: Settings, coming: Coming): Promise<Meeting> {
  expectNoTicket(settings);
  // The last of all that use the file removes it.
  const { method, worldSize, join } = settings;
  return meetAtOwn(await platform.openFileStore(filePath(method), join ? -1 : worldSize), platform, settings, coming);
}

/** Meets in a Redis server. */
export async function meetAtRedis(platform: Platform, settings: Settings, coming: Coming): Promise<Meeting> {
  expectNoTicket(settings);
  const { method, timeoutMs } = settings;
  return meetAtOwn(await platform.openRedisStore(method.href, timeoutMs), platform, settings, coming);
}

/** Meets at a store that this rank has opened, and closes. */
async function meetAtOwn(store: Store, platform: Platform, settings: Settings, coming: Coming): Promise<Meeting> {
  coming.undo.push(() => store.close());
  store.timeoutMs = settings.timeoutMs;
  const meeting = await meetAt(store, platform, settings, coming);
  const leave = async () => {
    await meeting.leave?.();
    await store.close();
  };
  return { ...meeting, leave };
}

/** Joins the ranks of this thread, in a store that no other meeting has. */
export async function meetInMemory(platform: Platform, settings: Settings, coming: Coming): Promise<Meeting> {
  expectNoTicket(settings);
  const { method, rank, worldSize, groupName, internal, join } = settings;
  const { joinMemoryJob, joinRunningJob } = await import("../../link/memory/links.ts");
  const name = method.href.slice("memory://".length);
  const generationIn = (common: Store) => new Generation(new PrefixStore(groupName, common), platform);
  const knobs = internal.memory ?? {};
  const refused = (common: Store, error: WebcclError) => void generationIn(common).end(error);
  const seat = join
    ? joinRunningJob<SpaceStore>(name, knobs)
    : joinMemoryJob(name, rank, worldSize, knobs, () => new SpaceStore(), refused);
  coming.undo.push(() => {
    // The others may be up already, and wait for this rank.
    for (const link of seat.links.values()) link.close();
    seat.leave();
  });
  const generation = generationIn(seat.common);
  const { store } = generation;
  if (!join) watch(generation, { rank: seat.rank, worldSize }, coming);
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
