// What this process holds: open files and sockets, and whatever keeps its event loop alive.
import { readdirSync } from "node:fs";

const LOOKS = 100;
const LOOK_MS = 50;

/** How many of each kind. */
export function held() {
  const counts = { files: readdirSync("/proc/self/fd").length };
  for (const kind of process.getActiveResourcesInfo()) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

/** What is held beyond `before`, once sockets had the time to close: nothing, unless something leaks. */
export async function heldBeyond(before) {
  for (let look = 1; ; look++) {
    const more = Object.entries(held()).filter(([kind, count]) => count > (before[kind] ?? 0));
    if (more.length === 0 || look === LOOKS)
      return more.map(([kind, count]) => `${count} ${kind}, ${before[kind] ?? 0} before`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}
