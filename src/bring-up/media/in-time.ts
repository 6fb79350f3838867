/** The same promise, unless a time passes first. */
import { startTimer } from "../../support/clock.ts";

/** Rejects with `expired()` if `promise` has not settled within `limitMs`. */
export function inTime<T>(promise: Promise<T>, limitMs: number, expired: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = startTimer(limitMs, () => reject(expired()));
    promise.finally(() => timer.cancel()).then(resolve, reject);
  });
}
