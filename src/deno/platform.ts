/**
 * Deno as a {@link Platform}: what node/ does with node: modules and `ws`, under Deno's name, and its own WebGPU.
 *
 * Deno's own WebSocket is not used: neither side of it can stop reading, so that a hub or a rank could not hold a fast
 * sender back, and `ws` over node:net moves two to four times as much (docs/architecture.md has the figures).
 */
import { UnsupportedError } from "../errors.ts";
import { mappedMemory } from "../node/mapped-memory/mapped-memory.ts";
import { MEMORY_FILE_DIRECTORY } from "../node/memory-files/memory-files.ts";
import { nodePlatform } from "../node/platform.ts";
import type { Platform } from "../platform.ts";
import { openDenoFfi } from "./ffi.ts";
import { openGpu } from "./gpu.ts";

/** The part of Deno's own names that is used here. */
declare const Deno: {
  permissions: { querySync(what: { name: "read" | "write"; path: string } | { name: "run" }): { state: string } };
};

const mayLookAtProcesses = () =>
  [{ name: "read", path: "/proc" } as const, { name: "run" } as const].every(
    (what) => Deno.permissions.querySync(what).state === "granted",
  );

/** Deno, as bring-up/init.ts uses it. */
export const denoPlatform: Platform = {
  ...nodePlatform,
  runtime: "deno",
  get version() {
    return `deno ${process.versions.deno}`;
  },
  get hostId() {
    return nodePlatform.hostId;
  },
  // /proc and signals are for a program that is allowed all; to try them would stop and ask the user.
  get processId() {
    return mayLookAtProcesses() ? nodePlatform.processId : "";
  },
  processState: (processId) => (mayLookAtProcesses() ? nodePlatform.processState(processId) : "unknown"),
  threadJob: () => null,
  memoryFiles: () => {
    // Asked for first: to try it would stop and ask the user.
    for (const name of ["read", "write"] as const) {
      if (Deno.permissions.querySync({ name, path: MEMORY_FILE_DIRECTORY }).state !== "granted") {
        throw new UnsupportedError(
          `not allowed to ${name} ${MEMORY_FILE_DIRECTORY}: run with --allow-read --allow-write`,
        );
      }
    }
    return nodePlatform.memoryFiles();
  },
  mappedMemory: async () => mappedMemory(openDenoFfi(process.env.WEBCCL_FFI)),
  openGpu,
  hasBuiltInGpu: true,
};
