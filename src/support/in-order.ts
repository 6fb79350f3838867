/** Who goes first: callers that start, or that enter, in the order in which they came. */
import type { Late } from "./late.ts";

/** Starts work in the order in which it was asked for, however long each piece takes to get ready. */
export class InOrder {
  /** Resolves when everything asked for so far has been started or given up; undefined if it has. */
  #last: Promise<unknown> | undefined;

  /**
   * Calls `start` with what `ready` resolves to, after every earlier start: at once if there is nothing to wait for. If
   * `ready` rejects, so does this, and what was asked for later goes on.
   */
  run<R, T>(ready: Promise<R | undefined> | undefined, start: (value: R | undefined) => Promise<T>): Promise<T> {
    const before = this.#last;
    if (!ready && !before) return start(undefined);
    const turn = Promise.all([ready, before]);
    const over = turn.catch(() => before);
    this.#last = over;
    void over.then(() => {
      if (this.#last === over) this.#last = undefined;
    });
    return turn.then(([value]) => start(value));
  }
}

/** Room for a few at a time. Whoever does not fit waits, and whoever comes later waits behind. One that is alone always fits. */
export class Lane {
  readonly #room: number;
  readonly #waiting: { size: number; enter(): void }[] = [];
  #taken = 0;

  constructor(room = 1) {
    this.#room = room;
  }

  /** Takes `size` of the room. Undefined if that is done, else it resolves when it is. */
  enter(size = 1): Late {
    if (this.#waiting.length === 0 && this.#fits(size)) {
      this.#taken += size;
      return undefined;
    }
    return new Promise((enter) => this.#waiting.push({ size, enter }));
  }

  /** Gives back what `enter` took. */
  leave(size = 1): void {
    this.#taken -= size;
    for (let next = this.#waiting[0]; next && this.#fits(next.size); next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#taken += next.size;
      next.enter();
    }
  }

  #fits(size: number): boolean {
    return this.#taken === 0 || this.#taken + size <= this.#room;
  }
}
