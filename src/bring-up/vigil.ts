/**
 * Vigil: what may end a bring-up before its time, on whichever step it is. That is the caller's signal, and the end of another
 * rank's bring-up, of which a hub (`meeting/hub-meeting.ts`) or the store (`meeting/generation.ts`) tells.
 */

import { AbortedError, fromWireError, toWireError, WebcclError } from "../errors.ts";
import { onAbort } from "../support/abort-listeners.ts";
import { textOf } from "../support/thrown.ts";

/** A rank of the meeting came once more, and nobody can tell whether the one before has died: the others meet anew with it. */
export class MeetAnew extends Error {}

/** The watch over one bring-up of one rank. */
export class Vigil {
  readonly #controller = new AbortController();
  readonly #over: Promise<never>;
  readonly #callers: AbortSignal | undefined;
  readonly #hearNoMore: (() => void) | undefined;
  #isHeard = false;
  #isClosed = false;

  constructor(signal: AbortSignal | undefined) {
    this.#callers = signal;
    this.#over = new Promise((_, reject) => {
      this.signal.addEventListener("abort", () => reject(this.cause));
    });
    this.#over.catch(() => {});
    if (signal?.aborted) this.#onSignal();
    this.#hearNoMore = signal && onAbort(signal, this.#onSignal);
  }

  /** Fires when the bring-up ends before its time; its reason is the cause. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The bring-up is over, well or not. */
  get isOver(): boolean {
    return this.#isClosed || this.signal.aborted;
  }

  /** Why the bring-up has ended, or null. */
  get cause(): Error | null {
    return this.signal.aborted ? (this.signal.reason as Error) : null;
  }

  /** Another rank's bring-up has ended, so this one does. The first cause counts. */
  hear(cause: Error): void {
    if (this.isOver) return;
    this.#isHeard = true;
    this.#controller.abort(cause);
  }

  /** The outcome of `step`, or the cause as soon as the bring-up ends. */
  race<T>(step: Promise<T>): Promise<T> {
    return Promise.race([this.#over, step]);
  }

  /** The error that the other ranks are told when this one ends with `error`. */
  toOthers(rank: number, error: unknown): WebcclError {
    if (this.#isHeard && error === this.cause && error instanceof WebcclError) return error;
    const text = textOf(error);
    const own = error instanceof WebcclError ? toWireError(error) : toWireError(new AbortedError(text));
    return fromWireError({
      ...own,
      message: `rank ${rank} ended the bring-up: ${text}`,
      details: { ...own.details, rank },
    });
  }

  /** The bring-up is over: nothing is watched any more. */
  close(): void {
    this.#isClosed = true;
    this.#hearNoMore?.();
  }

  readonly #onSignal = (): void => {
    const reason: unknown = this.#callers?.reason;
    const text = textOf(reason);
    if (this.signal.aborted) return;
    this.#controller.abort(new AbortedError(`initProcessGroup was aborted by its signal: ${text}`, { cause: reason }));
  };
}
