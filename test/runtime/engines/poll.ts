/** Looks again and again, for programs that vitest runs and others. */
import { setTimeout as sleep } from "node:timers/promises";

const BETWEEN_MS = 100;

/** What `look` gives, as soon as it does not fail; what it failed with last, after `timeoutMs`. */
export async function poll<T>(look: () => Promise<T>, timeoutMs: number): Promise<T> {
  for (const end = performance.now() + timeoutMs; ; ) {
    try {
      return await look();
    } catch (error) {
      if (performance.now() > end) throw error;
    }
    await sleep(BETWEEN_MS);
  }
}
