/**
 * Clock: the only file below the platforms that reads the time, sets a timer or draws random bytes. Whoever replaces
 * these functions runs the whole library on another clock.
 *
 * Times are milliseconds of a clock that only moves forward; its zero means nothing.
 */

/** The longest delay that a runtime's timer takes: 2^31 - 1 ms, about 25 days. */
export const LONGEST_DELAY_MS = 0x7fffffff;

/** The time. */
export function now(): number {
  return performance.now();
}

/** Most milliseconds by which a time of day may be off before it is set anew by the machine's clock. */
const MOST_DRIFT_MS = 5;

/** When the clock of {@link now} was 0. It stops where a machine sleeps, and the machine's own is set anew. */
let originMs = performance.timeOrigin;

/** A time of {@link now} in milliseconds since 1970. */
export function wallTimeOf(time: number): number {
  const driftMs = Date.now() - (originMs + now());
  if (Math.abs(driftMs) > MOST_DRIFT_MS) originMs += driftMs;
  return originMs + time;
}

/** A timer that runs. */
export interface Timer {
  /** Nothing fires any more. Does nothing once it has fired. */
  cancel(): void;
}

/** Calls `fire` once, `delayMs` from now: at once if that is below 0, never if it is Infinity. */
export function startTimer(delayMs: number, fire: () => void): Timer {
  return start(delayMs, fire, () => {});
}

/** Like {@link startTimer}; a process that waits for nothing else ends. */
export function startQuietTimer(delayMs: number, fire: () => void): Timer {
  return start(delayMs, fire, (handle) => {
    // Where timers are numbers, none keeps anything running.
    if (typeof handle === "object") handle.unref();
  });
}

/** Resolves in `delayMs`. */
export function sleep(delayMs: number): Promise<void> {
  return new Promise((resolve) => startTimer(delayMs, resolve));
}

/** Keeps the process running until it is cancelled. */
export function keepAlive(): Timer {
  return startTimer(Number.POSITIVE_INFINITY, () => {});
}

/** `byteLength` random bytes that nobody can guess. */
export function randomBytes(byteLength: number): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(byteLength));
}

type Handle = ReturnType<typeof setTimeout>;

/** `onSet` gets each of the runtime's timers that a long delay takes. */
function start(delayMs: number, fire: () => void, onSet: (handle: Handle) => void): Timer {
  let handle: Handle;
  const set = (leftMs: number) => {
    const isLast = leftMs <= LONGEST_DELAY_MS;
    handle = setTimeout(isLast ? fire : () => set(leftMs - LONGEST_DELAY_MS), isLast ? leftMs : LONGEST_DELAY_MS);
    onSet(handle);
  };
  set(delayMs);
  return { cancel: () => clearTimeout(handle) };
}
