/**
 * Deadlines on one shared timer. Setting and clearing one is a Set operation; the timer is moved only when an earlier
 * deadline comes, and finds out when it fires which have passed.
 */

/** A deadline that is set. */
export interface Deadline {
  readonly at: number;
  readonly expire: () => void;
}

/** A set of deadlines. */
export class Deadlines {
  readonly #pending = new Set<Deadline>();
  #timer: ReturnType<typeof setTimeout> | null = null;
  #firesAt = Number.POSITIVE_INFINITY;

  /** Calls `expire` once, `delayMs` from now, unless it is cleared before. */
  set(delayMs: number, expire: () => void): Deadline {
    const deadline = { at: performance.now() + delayMs, expire };
    this.#pending.add(deadline);
    if (deadline.at < this.#firesAt) this.#arm(deadline.at);
    return deadline;
  }

  clear(deadline: Deadline): void {
    this.#pending.delete(deadline);
  }

  /** Clears all. */
  close(): void {
    this.#pending.clear();
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#firesAt = Number.POSITIVE_INFINITY;
  }

  #arm(at: number): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#firesAt = at;
    // The longest delay setTimeout takes is 2^31 - 1 ms; a later deadline is looked at again then.
    this.#timer = setTimeout(() => this.#fire(), Math.min(Math.max(0, at - performance.now()), 0x7fffffff));
    // Where timers are objects, this one alone does not keep the process running.
    if (typeof this.#timer === "object") this.#timer.unref();
  }

  #fire(): void {
    this.#timer = null;
    this.#firesAt = Number.POSITIVE_INFINITY;
    const now = performance.now();
    let next = Number.POSITIVE_INFINITY;
    for (const deadline of this.#pending) {
      if (deadline.at <= now) {
        this.#pending.delete(deadline);
        deadline.expire();
      } else next = Math.min(next, deadline.at);
    }
    if (next < Number.POSITIVE_INFINITY) this.#arm(Math.min(next, this.#firesAt));
  }
}
