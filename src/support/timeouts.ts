/**
 * Timeouts: what a number of milliseconds means, for everything public that takes one.
 *
 *   collectives, `Work.wait`, bring-up, links, hubs    0 and Infinity mean no timeout
 *   calls of a store                                   0 means a single look, Infinity no timeout
 *
 * Anything below 0 and NaN are RangeErrors. Inside, no timeout is Infinity, which `clock.ts` never lets fire; nor does it let a
 * delay past 2^31 ms fire early, as the runtimes' own timers do.
 */

/**
 * The limit on a call, a wait for one, or a bring-up: Infinity for none.
 * @throws RangeError if `timeoutMs` is no number of at least 0. `name` says whose it is.
 */
export function timeLimitOf(timeoutMs: number, name = "timeoutMs"): number {
  check(timeoutMs, name, "0 or Infinity for no timeout");
  return timeoutMs === 0 ? Number.POSITIVE_INFINITY : timeoutMs;
}

/**
 * How long a store's call waits; at 0 it looks once.
 * @throws RangeError if `timeoutMs` is no number of at least 0. `name` says whose it is.
 */
export function storeWaitOf(timeoutMs: number, name = "timeoutMs"): number {
  check(timeoutMs, name, "0 for a single look, Infinity for no timeout");
  return timeoutMs;
}

function check(timeoutMs: number, name: string, special: string): void {
  if (typeof timeoutMs === "number" && timeoutMs >= 0) return;
  throw new RangeError(`${name} is ${String(timeoutMs)}: pass a number of milliseconds, ${special}`);
}
