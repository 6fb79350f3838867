/** Deno as a {@link Platform}: its own WebSocket, and Node's files where they need only node: modules. */
import { connectWebSocket } from "../browser/websocket-client.ts";
import { UnsupportedError } from "../errors.ts";
import { FileStore } from "../node/file-store.ts";
import { hostIdentity } from "../node/host-identity.ts";
import type { Platform } from "../platform.ts";

const cannot = (what: string) =>
  Promise.reject(new UnsupportedError(`Deno ranks do not ${what} yet: join through a hub (ws://host:port/group)`));

/** What Deno offers to `init.ts`. */
export const denoPlatform: Platform = {
  runtime: "deno",
  get version() {
    return `deno ${process.versions.deno}`;
  },
  env: (name) => process.env[name],
  get hostId() {
    return process.env.WEBCCL_HOST ?? hostIdentity();
  },
  threadJob: () => null,
  canListen: false,
  connect: connectWebSocket,
  listen: () => cannot("accept connections"),
  startHub: () => cannot("host a hub"),
  openFileStore: async (path, worldSize) => new FileStore(path, worldSize),
};
