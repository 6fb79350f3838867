/** A browser's page or worker as a {@link Platform}. */
import { UnsupportedError } from "../errors.ts";
import type { Platform } from "../platform.ts";
import { threadJob } from "./thread-job.ts";
import { connectWebSocket } from "./websocket-client.ts";

const cannot = (what: string) =>
  Promise.reject(new UnsupportedError(`a browser cannot ${what}: join through a hub (ws://host:port/group)`));

/** A browser, as bring-up/init.ts uses it. */
export const browserPlatform: Platform = {
  runtime: "browser",
  get version() {
    return navigator.userAgent;
  },
  // A page has no environment of its own; whoever opens it may leave it one, as `webccl run --browsers` does.
  env: (name) => (globalThis as { webcclEnvironment?: Record<string, string> }).webcclEnvironment?.[name],
  hostId: "",
  processId: "",
  processState: () => "unknown",
  threadJob,
  memoryFiles: () => {
    throw new UnsupportedError("a browser shares no files");
  },
  mappedMemory: null,
  openPortExchange: async () => (await import("./port-exchange.ts")).openPortExchange(),
  loadPeerConnection: async () => globalThis.RTCPeerConnection,
  canListen: false,
  connect: connectWebSocket,
  listen: () => cannot("accept connections"),
  onProgramEnd: null,
  startHub: () => cannot("host a hub"),
  openGpu: async () => (await import("./gpu.ts")).openGpu(),
  hasBuiltInGpu: true,
  loadNccl: null,
  traceInto: null,
  openFileStore: () => cannot("share a file"),
  openRedisStore: () => cannot("reach Redis"),
};
