/**
 * A lock between processes: a file that exists while the lock is held. It names its holder's pid and start time, so that
 * a lock whose holder has died is recognised, also when the pid has been given to another process since.
 */
import { closeSync, readFileSync, rmSync, statSync, writeSync } from "node:fs";
import { TimeoutError } from "../../errors.ts";
import { isAlive, startTime } from "../process-identity.ts";
import { openPrivate } from "./private-file.ts";

/** An unreadable lock of this age was left by a process that died while writing it. */
const UNWRITTEN_STALE_MS = 2_000;
/** A guard is held for a few file operations; one of this age was left by a process that died in them. */
const GUARD_STALE_MS = 10_000;
const LAST_DELAY_MS = 10;

/**
 * Runs `action` while holding the lock at `path`. `action` is synchronous: nothing else of this process runs in between.
 * @throws TimeoutError if the lock was not free within `timeoutMs`, naming its holder.
 */
export async function withFileLock<T>(path: string, timeoutMs: number, action: () => T): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let delayMs = 0.5;
  while (!tryLock(path)) {
    if (removeIfStale(path)) continue;
    if (performance.now() >= deadline) {
      const holder = readIfThere(path)?.split(" ")[0] || "unknown";
      throw new TimeoutError(`the lock ${path} was not free within ${timeoutMs} ms: process ${holder} holds it`);
    }
    await new Promise((resolve) => setTimeout(resolve, delayMs * (0.5 + Math.random())));
    delayMs = Math.min(delayMs * 1.5, LAST_DELAY_MS);
  }
  try {
    return action();
  } finally {
    rmSync(path, { force: true });
  }
}

function tryLock(path: string): boolean {
  const file = openIfAbsent(path);
  if (file === null) return false;
  writeSync(file, `${process.pid} ${startTime(process.pid)}`);
  closeSync(file);
  return true;
}

/**
 * Removes a lock whose holder is dead. Two processes may find it so; the guard lets one at a time look again and remove
 * it, so that the second never removes the lock that a third has made meanwhile.
 */
function removeIfStale(path: string): boolean {
  if (!isStale(path)) return false;
  const guard = `${path}.takeover`;
  const file = openIfAbsent(guard);
  if (file === null) {
    if (ageMs(guard) > GUARD_STALE_MS) rmSync(guard, { force: true });
    return false;
  }
  closeSync(file);
  try {
    if (!isStale(path)) return false;
    rmSync(path, { force: true });
    return true;
  } finally {
    rmSync(guard, { force: true });
  }
}

function isStale(path: string): boolean {
  const text = readIfThere(path);
  if (text === null) return false;
  const match = /^(\d+) (\S*)$/.exec(text);
  if (!match) return ageMs(path) > UNWRITTEN_STALE_MS;
  const pid = Number(match[1]);
  return !isAlive(pid) || startTime(pid) !== match[2];
}

function openIfAbsent(path: string): number | null {
  return openPrivate(path, "create")?.descriptor ?? null;
}

function readIfThere(path: string): string | null {
  const file = openPrivate(path, "read");
  if (file === null) return null;
  try {
    return readFileSync(file.descriptor, "utf8");
  } finally {
    closeSync(file.descriptor);
  }
}

function ageMs(path: string): number {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat ? Date.now() - stat.mtimeMs : 0;
}
