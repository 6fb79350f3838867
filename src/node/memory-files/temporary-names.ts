/**
 * Names of files that must not outlive this process: they are removed when it exits, and when a signal ends it. The
 * signals are listened to only while there is such a name, which is during a bring-up.
 */
import { rmSync } from "node:fs";
import { constants } from "node:os";

/** Signals that a user or a launcher sends, and that would end the process without its exit event. */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

const names = new Set<string>();

/** Removes `path` when the process ends, unless {@link removeNow} does so before. */
export function removeAtDeath(path: string): void {
  if (names.size === 0) {
    process.on("exit", removeAll);
    for (const signal of SIGNALS) process.on(signal, onSignal);
  }
  names.add(path);
}

/** Removes `path`, if it is there. */
export function removeNow(path: string): void {
  rmSync(path, { force: true });
  if (names.delete(path) && names.size === 0) stopListening();
}

/** Ends the process as the signal would have done. Where the program listens to it too, its end is the program's. */
function onSignal(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) > 1) return;
  removeAll();
  try {
    process.kill(process.pid, signal);
  } catch {
    // Deno asks for --allow-run before a process may signal itself.
    process.exit(128 + constants.signals[signal]);
  }
}

function removeAll(): void {
  for (const path of names) rmSync(path, { force: true });
  names.clear();
  stopListening();
}

function stopListening(): void {
  process.off("exit", removeAll);
  for (const signal of SIGNALS) process.off(signal, onSignal);
}
