/**
 * Deadlines on one shared timer. Setting and clearing one is a Set operation; the timer is moved only when an earlier
 * deadline comes, and finds out when it fires which have passed. While a deadline is set the process keeps running, unless
 * nothing but this process could meet it.
 */
import { keepAlive, now, startQuietTimer, type Timer } from "./clock.ts";

/** A deadline that is set. */
export interface Deadline {
  readonly at: number;
  readonly expire: () => void;
}

/** A set of deadlines. */
export class Deadlines {
  readonly #pending = new Set<Deadline>();
  readonly #holds: boolean;
  #hold: Timer | null = null;
  #timer: Timer | null = null;
  #firesAt = Number.POSITIVE_INFINITY;

  /** `holds`: a deadline that is set keeps the process running. */
  constructor(holds = true) {
    this.#holds = holds;
  }

  /** Calls `expire` once, `delayMs` from now, unless it is cleared before. */
  set(delayMs: number, expire: () => void): Deadline {
    const deadline = { at: now() + delayMs, expire };
    this.#pending.add(deadline);
    if (this.#holds) this.#hold ??= keepAlive();
    if (deadline.at < this.#firesAt) this.#arm(deadline.at);
    return deadline;
  }

  clear(deadline: Deadline): void {
    this.#pending.delete(deadline);
    this.#letGo();
  }

  /** Clears all. */
  close(): void {
    this.#pending.clear();
    this.#letGo();
    this.#timer?.cancel();
    this.#timer = null;
    this.#firesAt = Number.POSITIVE_INFINITY;
  }

  #letGo(): void {
    if (this.#pending.size > 0) return;
    this.#hold?.cancel();
    this.#hold = null;
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
    // A busy event loop fires late: of several that have passed, the earliest deadline comes first all the same.
    const passed = [...this.#pending].filter(({ at }) => at <= time).sort((a, b) => a.at - b.at);
    for (const deadline of passed) if (this.#pending.delete(deadline)) deadline.expire();
    let next = this.#firesAt;
    for (const { at } of this.#pending) next = Math.min(next, at);
    this.#letGo();
    if (next < this.#firesAt) this.#arm(next);
  }
}
