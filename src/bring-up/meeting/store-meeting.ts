/** Meetings without a hub: at a store of the caller's, at a file, or in this thread. Loaded where ranks meet so. */

import type { Platform } from "../../platform.ts";
import { HashStore } from "../../store/hash-store.ts";
import { PrefixStore } from "../../store/prefix-store.ts";
import type { Store } from "../../store/store.ts";
import { startTimer } from "../../support/clock.ts";
import { filePath, type Settings } from "../init-options.ts";
import type { Coming, Meeting } from "./contract.ts";
import { Generation } from "./generation.ts";

/** Most milliseconds for a rank whose bring-up fails to tell the others by the store, which may be the reason. */
const TELL_MS = 1_000;

const WITHOUT_HUB = { epoch: 0, hub: null, hosted: null, links: null };

/** Meets in a part of `store` that no earlier meeting has written. */
export async function meetAt(store: Store, platform: Platform, settings: Settings, coming: Coming): Promise<Meeting> {
  const { worldSize, groupName } = settings;
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

/** Meets in a file that all ranks see. */
export async function meetAtFile(platform: Platform, settings: Settings, coming: Coming): Promise<Meeting> {
  // The last of all that use the file removes it.
  const file = await platform.openFileStore(filePath(settings.method), settings.worldSize);
  coming.undo.push(() => file.close());
  file.timeoutMs = settings.timeoutMs;
  const meeting = await meetAt(file, platform, settings, coming);
  const leave = async () => {
    await meeting.leave?.();
    await file.close();
  };
  return { ...meeting, leave };
}

/** Joins the ranks of this thread, in a store that no other meeting has. */
export async function meetInMemory(platform: Platform, settings: Settings, coming: Coming): Promise<Meeting> {
  const { method, rank, worldSize, groupName, internal } = settings;
  const { joinMemoryJob } = await import("../../link/memory/links.ts");
  const name = method.href.slice("memory://".length);
  const generationIn = (common: Store) => new Generation(new PrefixStore(groupName, common), platform);
  const seat = joinMemoryJob(
    ...([name, rank, worldSize, internal.memory ?? {}, () => new HashStore()] as const),
    (common, error) => void generationIn(common).end(error),
  );
  coming.undo.push(() => {
    // The others may be up already, and wait for this rank.
    for (const link of seat.links.values()) link.close();
    seat.leave();
  });
  const { store } = generationIn(seat.common);
  watch(generationIn(seat.common), { rank: seat.rank, worldSize }, coming);
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

/** This rank's number, which the settings have wherever no hub and no job of this thread gives it. */
function rankOf({ rank }: Settings): number {
  if (rank === null) throw new RangeError("rank is not given");
  return rank;
}
