/**
 * Meeting: where the ranks of a job find each other. A hub (someone's, or the one that rank 0 hosts), a file, a job of this
 * thread, or a store of the caller's; behind each of them is a {@link Store}.
 */

import type { HostExecutor } from "../executor/executor.ts";
import { HubConnection } from "../link/hub/connection.ts";
import type { Link } from "../link/link.ts";
import type { HubHandle, Platform } from "../platform.ts";
import { HashStore } from "../store/hash-store.ts";
import { HubStore } from "../store/hub-store.ts";
import { PrefixStore } from "../store/prefix-store.ts";
import type { Store } from "../store/store.ts";
import { FrameSums } from "../wire/frame-sums.ts";
import { masterAddress, type Settings } from "./init-options.ts";
import { hubHasChecksums } from "./integrity.ts";
import type { Undo } from "./media/medium.ts";

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
  /** Gives up what was taken for the meeting. */
  leave?(): Promise<void> | void;
}

/** Finds the store, and this rank's number where a hub gives it. */
export async function meet(
  platform: Platform,
  settings: Settings,
  executor: HostExecutor,
  undo: Undo[],
): Promise<Meeting> {
  const { method, rank, worldSize, groupName, timeoutMs } = settings;
  const store = settings.store ?? (method.protocol === "env:" ? await platform.threadJob()?.openStore?.() : null);
  const alone = { epoch: 0, hub: null, hosted: null, links: null };
  if (store) return { ...alone, rank: rankOf(settings), store: new PrefixStore(groupName, store) };
  switch (method.protocol) {
    case "memory:": {
      const { joinMemoryJob } = await import("../link/memory/links.ts");
      const name = method.href.slice("memory://".length);
      const seat = joinMemoryJob(name, rank, worldSize, settings.internal.memory ?? {}, () => new HashStore());
      undo.push(() => seat.leave());
      return { ...alone, ...seat, store: new PrefixStore(groupName, seat.common) };
    }
    case "file:": {
      const file = await platform.openFileStore(decodeURIComponent(method.pathname), worldSize);
      const leave = () => file.close();
      undo.push(leave);
      file.timeoutMs = timeoutMs;
      return { ...alone, rank: rankOf(settings), store: new PrefixStore(groupName, file), leave };
    }
    case "ws:":
    case "wss:":
      return joinHub(platform, settings, `${method.protocol}//${method.host}`, null, executor, undo);
    default: {
      const address = method.protocol === "env:" ? masterAddress(platform) : tcpAddress(method);
      const scheme = settings.listen.tls ? "wss" : "ws";
      const hosted = rank === 0 ? await host(platform, settings, address, undo) : null;
      const url = hosted?.url ?? `${scheme}://${address.host}:${address.port}`;
      return joinHub(platform, settings, url, hosted, executor, undo);
    }
  }
}

/** This rank's number, which the settings have wherever no hub and no job of this thread gives it. */
function rankOf({ rank }: Settings): number {
  if (rank === null) throw new RangeError("rank is not given");
  return rank;
}

function tcpAddress({ hostname, port }: URL): { host: string; port: number } {
  return { host: hostname || "127.0.0.1", port: port === "" ? 29500 : Number(port) };
}

async function host(
  platform: Platform,
  { token, listen: { tls }, logger }: Settings,
  address: { host: string; port: number },
  undo: Undo[],
): Promise<HubHandle> {
  const hub = await platform.startHub({
    ...address,
    hostRank: 0,
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
  executor: HostExecutor,
  undo: Undo[],
): Promise<Meeting> {
  const checksums = hubHasChecksums(integrity, url);
  const sums = checksums ? new FrameSums(await executor.openChecksums()) : null;
  const hello = { group: groupName, rank, worldSize, purpose: "hub" as const, checksums };
  const { socket, welcome } = await platform.connect(url, hello, { token, timeoutMs, signal });
  const hub = new HubConnection(socket, welcome, url, sums);
  undo.push(() => {
    hub.goodbye();
    hub.close();
  });
  const store = new HubStore(hub);
  store.timeoutMs = timeoutMs;
  return { rank: welcome.rank, epoch: welcome.epoch, store, hub, hosted, links: null };
}
