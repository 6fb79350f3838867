/** The identity of this machine: equal for two processes that can share files and loopback. */
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

/**
 * Name, boot and network namespace of this machine: two containers of one host share the boot but not loopback, and two
 * machines may share a name.
 */
export function hostIdentity(): string {
  return [
    hostname(),
    attempt(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()),
    attempt(() => readlinkSync("/proc/self/ns/net")),
    attempt(() => readlinkSync("/proc/self/ns/mnt")),
  ].join(" ");
}

/** A source that this operating system does not have adds nothing. */
function attempt(read: () => string): string {
  try {
    return read();
  } catch {
    return "";
  }
}
