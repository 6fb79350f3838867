/** Node as a {@link Platform}. */
import type { Platform } from "../platform.ts";
import { FileStore } from "./file-store/file-store.ts";
import { openGpu } from "./gpu.ts";
import { hostIdentity } from "./host-identity.ts";
import { startHub } from "./hub.ts";
import { memoryFiles } from "./memory-files.ts";
import { loadNccl } from "./nccl.ts";
import { threadJob } from "./thread-job.ts";
import { connectWebSocket } from "./websocket-client.ts";
import { listenWebSocket } from "./websocket-server.ts";

/** Node, as bring-up/init.ts uses it. */
export const nodePlatform: Platform = {
  runtime: "node",
  version: `node ${process.versions.node}`,
  env: (name) => process.env[name],
  get hostId() {
    return process.env.WEBCCL_HOST ?? hostIdentity();
  },
  threadJob,
  memoryFiles,
  canListen: true,
  connect: connectWebSocket,
  listen: (options, accept) =>
    listenWebSocket(options, (hello, socket) => {
      accept(hello, socket);
      return {
        rank: hello.rank ?? 0,
        worldSize: hello.worldSize,
        epoch: 0,
        hostRank: null,
        checksums: hello.checksums,
      };
    }),
  startHub,
  openGpu,
  // The package takes up to 0.3 s to load and prints its drivers' complaints, so it is loaded only on request.
  hasBuiltInGpu: false,
  loadNccl,
  openFileStore: async (path, worldSize) => new FileStore(path, worldSize),
};
