/** A worker that `spawnRanks` started, as a thread of its page's job. */
import type { ThreadJob } from "../platform.ts";

/** What rank-worker.ts leaves in `globalThis.webcclJob`; the rank's module may have been bundled apart from it. */
export interface PageJob {
  readonly id: string;
  readonly memory: WebAssembly.Memory;
  readonly index: number;
  /** The page's store; null where the ranks meet at a hub. */
  readonly store: MessagePort | null;
  /** How often this rank has met the others. */
  meetings: number;
}

/** The job that this worker was started for, or null. */
export function threadJob(): ThreadJob | null {
  const job = (globalThis as { webcclJob?: PageJob }).webcclJob;
  if (!job) return null;
  const { id, memory, index, store } = job;
  const openStore = store && (async () => (await import("./page-store.ts")).openPageStore(store, job.meetings++));
  return { id, memory, index, cores: navigator.hardwareConcurrency, turn, openStore };
}

/** By a message to itself, which no browser delays as it does timers. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
