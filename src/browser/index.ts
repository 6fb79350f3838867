/** webccl in a browser's page or worker. */

import { initProcessGroupOn } from "../bring-up/init.ts";
import type { InitOptions, InternalOptions } from "../bring-up/init-options.ts";
import type { HubStoreOptions } from "../bring-up/meeting/hub-store.ts";
import type { SpawnedRanks, SpawnOptions } from "../bring-up/spawned-ranks.ts";
import { UnsupportedError } from "../errors.ts";
import type { ProcessGroup } from "../group/process-group.ts";
import { type DebugLevel, debugLevelIn } from "../logger.ts";
import { HubStore as StoreOfHub } from "../store/hub-store.ts";
import { browserPlatform } from "./platform.ts";

export * from "../index.ts";

function notHere(store: string): never {
  throw new UnsupportedError(`a browser has no ${store}: use the store of a hub, or HashStore within one page`);
}

/** Files are shared by processes of one host; a page has none. Throws UnsupportedError. */
export class FileStore {
  constructor() {
    notHere("FileStore");
  }
}

/** A page has no connection to a Redis server. Throws UnsupportedError. */
export class RedisStore {
  constructor() {
    notHere("RedisStore");
  }
}

/** A page opens no TCP connections. Rejects with UnsupportedError. */
export class TcpStore {
  constructor() {
    notHere("TcpStore");
  }

  static async listen(): Promise<never> {
    return notHere("TcpStore");
  }

  static async connect(): Promise<never> {
    return notHere("TcpStore");
  }
}

/** Whoever looks into a rank connects to it, which no page can accept. Throws UnsupportedError. */
export class WorkerServer {
  constructor() {
    throw new UnsupportedError("a browser has no WorkerServer: send what group.dumpTrace() gives where you want it");
  }
}

/** The part of an extension's names that is used here. */
type Extension = { chrome?: { extension?: { getBackgroundPage?(): unknown } } };

/**
 * Is this a service worker, or the background page of an extension? Browsers end both when nothing happens in them for a while. A
 * service worker may load nothing later, so this is asked here.
 */
const isShortLived = () =>
  "skipWaiting" in globalThis || (globalThis as Extension).chrome?.extension?.getBackgroundPage?.() === globalThis;

/** Joins a group through a hub, or one of tasks in this thread (`memory://`). As on Node; `listen` has no use here. */
export function initProcessGroup(options?: InitOptions): Promise<ProcessGroup>;
/** @internal */
export function initProcessGroup(options?: InitOptions & InternalOptions): Promise<ProcessGroup>;
export function initProcessGroup(options: InitOptions & InternalOptions = {}): Promise<ProcessGroup> {
  if (isShortLived())
    return Promise.reject(
      new UnsupportedError(
        "a service worker or an extension's background page cannot be a rank: use a page or a worker",
      ),
    );
  return initProcessGroupOn(browserPlatform, options);
}

/**
 * Starts `ranks` workers of this page as ranks of one group. Each runs the module at `moduleUrl`, which calls
 * `initProcessGroup()`: its rank is set. Where the page is cross-origin isolated the ranks share memory; elsewhere they
 * meet at the hub of `options.initMethod`.
 * @throws UnsupportedError if memory cannot be shared and no hub is given; RangeError for a number of ranks that cannot be.
 */
export async function spawnRanks(
  ranks: number,
  moduleUrl: string | URL,
  options: SpawnOptions = {},
): Promise<SpawnedRanks> {
  return (await import("./spawn-ranks.ts")).startRanks(ranks, moduleUrl, options);
}

/**
 * How much diagnostics are told: the level that `setDebugLevel` set, else WEBCCL_DEBUG, else WARN.
 * @throws RangeError if WEBCCL_DEBUG is not a debug level.
 */
export function getDebugLevel(): DebugLevel {
  return debugLevelIn(browserPlatform.env);
}

/** The store of a hub: a group's, or by {@link HubStore.connect} one of its own. */
export class HubStore extends StoreOfHub {
  /**
   * A client of a store at a hub, `ws://host:port/name`: it lives there as long as any client of that name, apart from the
   * hub's groups. `close()` ends the connection.
   * @throws RangeError if it is not the address of a hub; AdmissionError if the hub refuses; TimeoutError if nothing answers.
   */
  static async connect(url: string, options: HubStoreOptions = {}): Promise<StoreOfHub> {
    return (await import("../bring-up/meeting/hub-store.ts")).connectHubStore(browserPlatform, url, options);
  }
}
