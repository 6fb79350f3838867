/**
 * The name of a shared file, which says who made it: `webccl-PID-START-BOOT-NAMESPACE-THREAD-RANDOM`. PID is that of a
 * process that began START clock ticks after the boot BOOT, in the PID namespace NAMESPACE; what this runtime may not know
 * is left empty.
 */
import { readFileSync, readlinkSync } from "node:fs";
import { threadId } from "node:worker_threads";

/** How the name of every shared file begins. */
export const PREFIX = "webccl-";
const NAME = /^webccl-(\d+)-(\d*)-([0-9a-f]*)-(\d*)-(\d+)-/;

/** A name for a file of this thread that nobody can guess. */
export function newName(): string {
  const { pid } = process;
  return `${PREFIX}${[pid, startTime(pid), bootId(), pidNamespace(), threadId, crypto.randomUUID()].join("-")}`;
}

/** Is `name` that of a file which thread `thread` of this process made? */
export function isOfThread(name: string, thread: number): boolean {
  const [, pid, start, , , maker] = NAME.exec(name) ?? [];
  return Number(pid) === process.pid && start === startTime(process.pid) && Number(maker) === thread;
}

/** Has the process that made the file of this name died? Null if that cannot be known. */
export function ownerHasDied(name: string): boolean | null {
  const [, pid, start, boot, namespace] = NAME.exec(name) ?? [];
  if (!pid || !boot || bootId() === "") return null;
  if (boot !== bootId()) return true;
  if (!namespace || namespace !== pidNamespace()) return null;
  const startNow = startTime(Number(pid));
  // Another process may have been given the number since.
  return startNow === "" || (start !== "" && start !== startNow);
}

/** When a process started, in clock ticks since boot (proc(5), field 22); "" where there is no such process, or no /proc. */
function startTime(pid: number): string {
  const stat = attempt(() => readFileSync(`/proc/${pid}/stat`, "utf8"));
  // The second field is the program's name in parentheses, which may itself hold spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // A zombie has ended, and only waits to be collected.
  return fields[0] === "Z" ? "" : (fields[19] ?? "");
}

const bootId = () => attempt(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8")).replace(/[^0-9a-f]/g, "");
const pidNamespace = () => attempt(() => readlinkSync("/proc/self/ns/pid")).replace(/\D/g, "");

/** What this runtime may not read is "". */
function attempt(read: () => string): string {
  try {
    return read();
  } catch {
    return "";
  }
}
