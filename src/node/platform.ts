/** Node as a {@link Platform}. */
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import type { Platform } from "../platform.ts";
import { FileStore } from "./file-store.ts";
import { startHub } from "./hub.ts";
import { connectWebSocket } from "./websocket-client.ts";
import { listenWebSocket } from "./websocket-server.ts";

/** What Node offers to `init.ts`. */
export const nodePlatform: Platform = {
  runtime: "node",
  version: `node ${process.versions.node}`,
  env: (name) => process.env[name],
  get hostId() {
    return process.env.WEBCCL_HOST ?? hostIdentity();
  },
  canListen: true,
  connect: connectWebSocket,
  listen: (options, accept) =>
    listenWebSocket(options, (hello, socket) => {
      accept(hello, socket);
      return { rank: hello.rank ?? 0, worldSize: hello.worldSize, epoch: 0, hostRank: null };
    }),
  startHub,
  openFileStore: async (path, worldSize) => new FileStore(path, worldSize),
};

/**
 * Name, boot and network namespace of this machine: two containers of one host share the boot but not loopback, and two
 * machines may share a name.
 */
function hostIdentity(): string {
  return [
    hostname(),
    attempt(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()),
    attempt(() => readlinkSync("/proc/self/ns/net")),
    attempt(() => readlinkSync("/proc/self/ns/mnt")),
  ].join(" ");
}

/** What is not there on this operating system adds nothing. */
function attempt(read: () => string): string {
  try {
    return read();
  } catch {
    return "";
  }
}
