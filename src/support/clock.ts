/**
 * Clock: the only file below the platforms that reads the time, sets a timer or draws random bytes. Whoever replaces
 * these functions runs the whole library on another clock.
 *
 * Times are milliseconds of a clock that only moves forward; its zero means nothing.
 */

/** The longest delay that a runtime's timer takes: 2^31 - 1 ms, about 25 days. */
const LONGEST_DELAY_MS = 0x7fffffff;

/** The time. */
export function now(): number {
  return performance.now();
}

/** A timer that runs. */
export interface Timer {
  /** Nothing fires any more. Does nothing once it has fired. */
  cancel(): void;
}

/** Calls `fire` once, `delayMs` from now: at once if that is below 0, never if it is Infinity. */
export function startTimer(delayMs: number, fire: () => void): Timer {
  return new RuntimeTimer(delayMs, fire, true);
}

/** Like {@link startTimer}; a process that waits for nothing else ends. */
export function startQuietTimer(delayMs: number, fire: () => void): Timer {
  return new RuntimeTimer(delayMs, fire, false);
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

class RuntimeTimer implements Timer {
  readonly #fire: () => void;
  readonly #keepsAlive: boolean;
  #handle: ReturnType<typeof setTimeout>;

  constructor(delayMs: number, fire: () => void, keepsAlive: boolean) {
    this.#fire = fire;
    this.#keepsAlive = keepsAlive;
    this.#handle = this.#set(delayMs);
  }

  cancel(): void {
    clearTimeout(this.#handle);
  }

  #set(delayMs: number): ReturnType<typeof setTimeout> {
    const leftMs = delayMs - LONGEST_DELAY_MS;
    const handle =
      leftMs > 0
        ? setTimeout(() => {
            this.#handle = this.#set(leftMs);
          }, LONGEST_DELAY_MS)
        : setTimeout(this.#fire, delayMs);
    // Where timers are numbers, none keeps anything running.
    if (!this.#keepsAlive && typeof handle === "object") handle.unref();
    return handle;
  }
}
