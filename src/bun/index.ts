/** webccl on Bun. */
import { initProcessGroupOn } from "../bring-up/init.ts";
import type { InitOptions, InternalOptions } from "../bring-up/init-options.ts";
import type { HubStoreOptions } from "../bring-up/meeting/hub-store.ts";
import type { ProcessGroup } from "../group/process-group.ts";
import { type DebugLevel, debugLevelIn } from "../logger.ts";
import { HubStore as StoreOfHub } from "../store/hub-store.ts";
import { bunPlatform } from "./platform.ts";

export * from "../index.ts";
export { FileStore } from "../node/file-store/file-store.ts";
export { type RedisClientLike, RedisStore, type RedisStoreOptions } from "../node/redis-store/redis-store.ts";
export { spawnRanks } from "../node/spawn-ranks.ts";
export {
  type ClientCounter,
  type TcpConnectOptions,
  type TcpListenOptions,
  TcpStore,
} from "../node/tcp-store/tcp-store.ts";
export {
  type WorkerHandler,
  type WorkerRequest,
  WorkerServer,
  type WorkerServerOptions,
} from "../node/trace/worker-server.ts";

/** Joins the group that the options, or the environment, name; resolves when all its ranks are linked. As on Node. */
export function initProcessGroup(options?: InitOptions): Promise<ProcessGroup>;
/** @internal */
export function initProcessGroup(options?: InitOptions & InternalOptions): Promise<ProcessGroup>;
export function initProcessGroup(options: InitOptions & InternalOptions = {}): Promise<ProcessGroup> {
  return initProcessGroupOn(bunPlatform, options);
}

/**
 * How much diagnostics are told: the level that `setDebugLevel` set, else WEBCCL_DEBUG, else WARN.
 * @throws RangeError if WEBCCL_DEBUG is not a debug level.
 */
export function getDebugLevel(): DebugLevel {
  return debugLevelIn(bunPlatform.env);
}

/** The store of a hub: a group's, or by {@link HubStore.connect} one of its own. */
export class HubStore extends StoreOfHub {
  /**
   * A client of a store at a hub, `ws://host:port/name`: it lives there as long as any client of that name, apart from the
   * hub's groups. `close()` ends the connection.
   * @throws RangeError if it is not the address of a hub; AdmissionError if the hub refuses; TimeoutError if nothing answers.
   */
  static async connect(url: string, options: HubStoreOptions = {}): Promise<StoreOfHub> {
    return (await import("../bring-up/meeting/hub-store.ts")).connectHubStore(bunPlatform, url, options);
  }
}
