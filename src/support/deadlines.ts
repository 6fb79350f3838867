/**
 * Deadlines on one shared timer. Setting and clearing one is a Set operation; the timer is moved only when an earlier
 * deadline comes, and finds out when it fires which have passed.
 */
import { now, startQuietTimer, type Timer } from "./clock.ts";

/** A deadline that is set. */
export interface Deadline {
  readonly at: number;
  readonly expire: () => void;
}

/** A set of deadlines. */
export class Deadlines {
  readonly #pending = new Set<Deadline>();
  #timer: Timer | null = null;
  #firesAt = Number.POSITIVE_INFINITY;

  /** Calls `expire` once, `delayMs` from now, unless it is cleared before. */
  set(delayMs: number, expire: () => void): Deadline {
    const deadline = { at: now() + delayMs, expire };
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
    this.#timer?.cancel();
    this.#timer = null;
    this.#firesAt = Number.POSITIVE_INFINITY;
  }

  #arm(at: number): void {
    this.#timer?.cancel();
    this.#firesAt = at;
    this.#timer = startQuietTimer(at - now(), () => this.#fire());
  }

  #fire(): void {
    this.#timer = null;
    this.#firesAt = Number.POSITIVE_INFINITY;
    const time = now();
    let next = Number.POSITIVE_INFINITY;
    for (const deadline of this.#pending) {
      if (deadline.at <= time) {
        this.#pending.delete(deadline);
        deadline.expire();
      } else next = Math.min(next, deadline.at);
    }
    if (next < Number.POSITIVE_INFINITY) this.#arm(Math.min(next, this.#firesAt));
  }
}
