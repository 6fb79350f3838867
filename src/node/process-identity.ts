/** Which process this is, and whether another one of this machine lives: by its pid and its start time, as pids are given again. */
import { readFileSync, readlinkSync } from "node:fs";
import { hostIdentity } from "./host-identity.ts";

/** The identity of this process; no other one has it, on this machine or another. */
export function processIdentity(): string {
  return [process.pid, startTime(process.pid), machine()].join(" ");
}

/** Does the process of this identity live? Unknown if it is on another machine. */
export function processState(identity: string): "alive" | "gone" | "unknown" {
  const [pid, start, ...where] = identity.split(" ");
  if (where.join(" ") !== machine()) return "unknown";
  return isAlive(Number(pid)) && startTime(Number(pid)) === start ? "alive" : "gone";
}

/** Two containers of one machine may count their processes apart. */
function machine(): string {
  try {
    return `${hostIdentity()} ${readlinkSync("/proc/self/ns/pid")}`;
  } catch {
    return hostIdentity();
  }
}

export function isAlive(pid: number): boolean {
  // One that was killed stays in the table until its parent has asked for its end.
  if (statOf(pid)?.[0] === "Z") return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives, and belongs to someone else.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** When a process started, in clock ticks since boot (proc(5), field 22); "" where there is no /proc. */
export function startTime(pid: number): string {
  return statOf(pid)?.[19] ?? "";
}

/** The fields of /proc/<pid>/stat from the third one on, the state. */
function statOf(pid: number): string[] | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the program's name in parentheses, which may itself hold spaces and parentheses.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH") return null;
    throw error;
  }
}
