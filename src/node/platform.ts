/** Node as a {@link Platform}. */
import type { MappedMemory, Platform } from "../platform.ts";
import { variableOf } from "./environment/slurm.ts";
import { FileStore } from "./file-store/file-store.ts";
import { openGpu } from "./gpu.ts";
import { hostIdentity } from "./host-identity.ts";
import { startHub } from "./hub.ts";
import { openNodeFfi } from "./mapped-memory/ffi.ts";
import { mappedMemory } from "./mapped-memory/mapped-memory.ts";
import { memoryFiles } from "./memory-files/memory-files.ts";
import { loadNccl } from "./nccl.ts";
import { processIdentity, processState } from "./process-identity.ts";
import { openRedisStore } from "./redis-store/open-redis-store.ts";
import { threadJob } from "./thread-job.ts";
import { loadPeerConnection } from "./webrtc/peer-connection.ts";
import { connectWebSocket } from "./websocket-client.ts";
import { listenWebSocket } from "./websocket-server.ts";

/**
 * Where processes can have memory in common, through the FFI that WEBCCL_FFI names: koffi, node:ffi or none. Default: the first
 * that there is.
 */
export async function openMappedMemory(): Promise<MappedMemory> {
  return mappedMemory(await openNodeFfi(process.env.WEBCCL_FFI));
}

/** Who hears that the program has nothing left to do. Node warns of more than ten listeners of its own, and a process may have more groups. */
const programEnds = new Set<() => void>();

function tellProgramEnd(): void {
  for (const tell of [...programEnds]) tell();
}

/** Node, as bring-up/init.ts uses it. */
export const nodePlatform: Platform = {
  runtime: "node",
  version: `node ${process.versions.node}`,
  env: (name) => variableOf(process.env, name),
  get hostId() {
    return process.env.WEBCCL_HOST ?? hostIdentity();
  },
  get processId() {
    return processIdentity();
  },
  processState,
  threadJob,
  memoryFiles,
  mappedMemory: openMappedMemory,
  openPortExchange: null,
  loadPeerConnection,
  canListen: true,
  connect: connectWebSocket,
  listen: (options, accept) =>
    listenWebSocket({ ...options, isQuiet: true }, (hello, socket) => {
      accept(hello, socket);
      return {
        rank: hello.rank ?? 0,
        worldSize: hello.worldSize,
        epoch: 0,
        hostRank: null,
        checksums: hello.checksums,
      };
    }),
  onProgramEnd: (listener) => {
    if (programEnds.size === 0) process.on("beforeExit", tellProgramEnd);
    programEnds.add(listener);
    return () => {
      programEnds.delete(listener);
      if (programEnds.size === 0) process.off("beforeExit", tellProgramEnd);
    };
  },
  startHub: (options) => startHub({ ...options, isQuiet: true }),
  openGpu,
  // The package takes up to 0.3 s to load and prints its drivers' complaints, so it is loaded only on request.
  hasBuiltInGpu: false,
  loadNccl,
  traceInto: async (folder, job) => (await import("./trace/trace-folder.ts")).traceInto(folder, job),
  openFileStore: async (path, worldSize) => new FileStore(path, worldSize),
  openRedisStore,
};
