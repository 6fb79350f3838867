/** The names of files that processes of this host share in memory. */
import { readdirSync, readFileSync } from "node:fs";
import { MEMORY_FILE_DIRECTORY } from "../../src/node/memory-files/memory-files.ts";

/** The names that these processes made and that are still there; other programs of this host may have some too. */
export function sharedFilesOf(pids: readonly (number | undefined)[]): string[] {
  return readdirSync(MEMORY_FILE_DIRECTORY).filter((name) => pids.some((pid) => name.startsWith(`webccl-${pid}-`)));
}

/** A running process, and those that it has started. */
export function familyOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  return [pid, ...children.split(" ").filter(Boolean).map(Number)];
}
