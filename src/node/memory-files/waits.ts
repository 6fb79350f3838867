/** How a process of this host waits for others without a promise. Deno uses it too. */
import { availableParallelism } from "node:os";
import { nextTick } from "node:process";
import type { Waits } from "../../platform.ts";

const NEVER_WOKEN = new Int32Array(new SharedArrayBuffer(4));

export const waits: Waits = {
  get cores() {
    return availableParallelism();
  },
  soon: (callback) => queueMicrotask(() => nextTick(callback)),
  later: (callback) => void setImmediate(callback),
  nap: (ms) => void Atomics.wait(NEVER_WOKEN, 0, 0, ms),
};
