/**
 * Work: one asynchronous call, and its outcome. It is a promise, and knows the things c10d's Work knows.
 *
 * Nothing is allocated for an outcome that nobody looks at: the promise inside is made by the first `then`. So a Work that
 * rejects unobserved is no unhandled rejection of the process; it is reported to the group's logger once.
 */

import { TimeoutError, UnsupportedError, WebcclError } from "../errors.ts";
import type { Logger } from "../options.ts";
import { now, startQuietTimer, startTimer, wallTimeOf } from "../support/clock.ts";
import { asError } from "../support/thrown.ts";
import { timeLimitOf } from "../support/timeouts.ts";
import type { Tensor } from "../types.ts";
import type { OpType } from "./op-type.ts";

/** How a Work ended, as c10d's `get_future_result` tells. */
export type WorkResult = "success" | "timeout" | "comm-error" | "unknown";

/** The promise of all Works that have ended well and have no value: most of those of short calls. */
const NOTHING = Promise.resolve(undefined);

/** What `onCompletion` is told of a Work. */
export interface WorkInfo {
  /** The kind of call, by c10d's names. */
  readonly opType: OpType;
  /** The call's number in its group. */
  readonly sequence: number;
  /**
   * When the call was made, and when it ended (NaN while it runs), in milliseconds since 1970: those of two ranks compare as far
   * as the clocks of their machines agree.
   */
  readonly timeStarted: number;
  /** When the call ended; NaN while it runs. */
  readonly timeFinished: number;
  /** Milliseconds in the backend, without the time that the call waited for earlier ones of its rank, and 0 before it has begun; a change of the machine's clock does not count. */
  readonly activeDurationMs: number;
}

/** How a Work is made: by the process group, or by yourself through {@link Work.fromPromise} or a subclass. */
export interface WorkOptions {
  /** The kind of call, by c10d's names. */
  opType: OpType;
  /** The call's number in its group. */
  sequence: number;
  /** Where a rejection goes that nobody observes. Default: nowhere. */
  logger?: Logger | undefined;
  /** When the call was made, as `performance.now()`. Default: now. */
  started?: number;
  /** When the backend began it, NaN before it has. Default: when it was made. */
  began?: () => number;
  /** What `future()` resolves to. Default: no tensors. */
  tensors?: () => readonly Tensor[];
  /** What `abort()` does. Without it a Work cannot be aborted. */
  onAbort?: (reason: unknown) => void;
  /** The Work of a user's own backend that this one stands for: `wait` and `future` are its own. */
  own?: Work<unknown> | undefined;
}

/**
 * One call's outcome: awaitable, and to be asked.
 *
 * A Work of your own, as c10d's PyWork: a subclass that overrides `wait`, and `future` if it has tensors. It ends as the first
 * promise that its `wait()` returns. The `run` of a backend may return one, and the Work that the caller has then asks it.
 */
export class Work<T> implements Promise<T> {
  /** The kind of call, by c10d's names. */
  readonly opType: OpType;
  /** The call's number in its group. */
  readonly sequence: number;

  readonly #options: Partial<WorkOptions>;
  readonly #started: number;
  #finished: number | null = null;
  #state: "pending" | "fulfilled" | "rejected" = "pending";
  #value: unknown;
  #error: Error | null = null;
  #observed = false;
  #promise: Promise<unknown> | null = null;
  #resolve: ((value: unknown) => void) | null = null;
  #reject: ((error: Error) => void) | null = null;

  /** A Work of your own. `options` may lack whatever it does not need. */
  constructor(options: Partial<WorkOptions> = {}) {
    this.opType = options.opType ?? "UNKNOWN";
    this.sequence = options.sequence ?? 0;
    this.#options = options;
    this.#started = options.started ?? now();
  }

  /** A pending Work and the two functions that settle it; the first call of either counts. */
  static pending<T>(options: WorkOptions): { work: Work<T>; fulfill(value: T): void; reject(error: Error): void } {
    const work = new Work<T>(options);
    return { work, fulfill: (value) => work.#fulfill(value), reject: (error) => work.#fail(error) };
  }

  /** A Work that has ended well. */
  static done<T>(options: WorkOptions, value: T): Work<T> {
    const work = new Work<T>(options);
    work.#fulfill(value);
    return work;
  }

  /** A Work that ends as `promise` does. */
  static fromPromise<T>(promise: PromiseLike<T>, options: Partial<WorkOptions> = {}): Work<Awaited<T>> {
    const work = new Work<Awaited<T>>(options);
    work.#follow(promise);
    return work;
  }

  /** "Work". */
  get [Symbol.toStringTag](): string {
    return "Work";
  }

  // biome-ignore lint/suspicious/noThenProperty: a Work is a promise
  then<A = T, B = never>(
    onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#native().then(onFulfilled, onRejected);
  }

  catch<B = never>(onRejected?: ((error: unknown) => B | PromiseLike<B>) | null): Promise<T | B> {
    return this.#native().catch(onRejected);
  }

  finally(onFinally?: (() => void) | null): Promise<T> {
    return this.#native().finally(onFinally);
  }

  /**
   * The outcome, waited for at most `timeoutMs`; 0, Infinity and none mean no timeout. Expiry rejects this wait only; the Work
   * goes on.
   * @throws TimeoutError when `timeoutMs` have passed; RangeError if it is below 0 or NaN.
   */
  async wait(timeoutMs = Number.POSITIVE_INFINITY): Promise<T> {
    const limitMs = timeLimitOf(timeoutMs, "Work.wait: timeoutMs");
    const native = this.#native();
    const { own } = this.#options;
    // It may know more of waiting than the promise tells.
    if (own) return Promise.race([native, own.wait(timeoutMs).then(() => native)]);
    if (limitMs === Number.POSITIVE_INFINITY) return native;
    return new Promise<T>((resolve, reject) => {
      // The pending call keeps the process running, as long as somebody could end it.
      const timer = startQuietTimer(limitMs, () => {
        reject(
          new TimeoutError(
            `${this.opType} ${this.sequence} has not ended within ${timeoutMs} ms; it is still running`,
            {
              sequence: this.sequence,
            },
          ),
        );
      });
      native.then(resolve, reject).finally(() => timer.cancel());
    });
  }

  /** Has it ended, well or not? */
  isCompleted(): boolean {
    return this.#state !== "pending";
  }

  /** Has it ended well? */
  isSuccess(): boolean {
    return this.#state === "fulfilled";
  }

  /** Why it failed, or null while it runs and when it ended well. Who asks has looked at a failure. */
  exception(): Error | null {
    if (this.#error) this.#observed = true;
    return this.#error;
  }

  /**
   * The value of a Work that ended well.
   * @throws Error while it runs; its own error if it failed.
   */
  result(): T {
    if (this.#error) {
      this.#observed = true;
      throw this.#error;
    }
    if (this.#state === "pending") throw new Error(`${this.opType} ${this.sequence} is still running: await it first`);
    return this.#value as T;
  }

  /**
   * The tensors that the call has written on this rank, or sent where it writes none, once it has ended well: `outputs` in their
   * order, else `output`, `tensors` or `tensor`. A rank that has no list of the call's gets none. Rejects as the Work does.
   */
  async future(): Promise<readonly Tensor[]> {
    await this.#native();
    const { own, tensors } = this.#options;
    return own ? own.future() : (tensors?.() ?? []);
  }

  /**
   * The rank that sent what a `recv` or `recvAnySource` received.
   * @throws Error for a Work of another kind, or while it runs; its own error if it failed.
   */
  sourceRank(): number {
    if (this.opType !== "RECV" && this.opType !== "RECVANYSOURCE") {
      throw new Error(`sourceRank() is for recv and recvAnySource, and this is ${this.opType} ${this.sequence}`);
    }
    return this.result() as number;
  }

  /** How it ended, once it has; never rejects. */
  futureResult(): Promise<WorkResult> {
    return this.#native().then(
      () => "success" as const,
      (error) => {
        if (error instanceof TimeoutError) return "timeout";
        if (error instanceof WebcclError && !(error instanceof UnsupportedError)) return "comm-error";
        return "unknown";
      },
    );
  }

  /**
   * Ends it with AbortedError. The group dies with it, unless it is a recv that no message has met.
   * @throws UnsupportedError if it is one call of a `coalesce`, or was made without `onAbort`, and runs still.
   */
  abort(): void {
    if (this.#state !== "pending") return;
    const { onAbort } = this.#options;
    if (!onAbort) {
      throw new UnsupportedError(
        `${this.opType} ${this.sequence} cannot be aborted: abort the Work of its coalesce, or give onAbort to your own`,
      );
    }
    onAbort("Work.abort() was called");
  }

  /** Milliseconds it took, or has taken so far. */
  durationMs(): number {
    return (this.#finished ?? now()) - this.#started;
  }

  /** What hooks are told; before it has ended, as if it did at `finished`. */
  info(finished: number = this.#finished ?? Number.NaN): WorkInfo {
    const began = this.#options.began?.() ?? this.#started;
    const activeMs = (Number.isNaN(finished) ? now() : finished) - began;
    return {
      opType: this.opType,
      sequence: this.sequence,
      timeStarted: wallTimeOf(this.#started),
      timeFinished: wallTimeOf(finished),
      activeDurationMs: Number.isNaN(began) ? 0 : activeMs,
    };
  }

  #native(): Promise<T> {
    this.#observed = true;
    if (!this.#promise) {
      if (this.#state === "fulfilled")
        this.#promise = this.#value === undefined ? NOTHING : Promise.resolve(this.#value);
      else if (this.#state === "rejected") this.#promise = Promise.reject(this.#error);
      else {
        this.#promise = new Promise((resolve, reject) => {
          this.#resolve = resolve;
          this.#reject = reject;
        });
        if (this.wait !== Work.prototype.wait) this.#follow(new Promise((resolve) => resolve(this.wait())));
      }
    }
    return this.#promise as Promise<T>;
  }

  #follow(promise: PromiseLike<unknown>): void {
    Promise.resolve(promise).then(
      (value) => this.#fulfill(value),
      (error) => this.#fail(asError(error)),
    );
  }

  #fulfill(value: unknown): void {
    if (this.#state !== "pending") return;
    this.#state = "fulfilled";
    this.#value = value;
    this.#finished = now();
    this.#resolve?.(value);
  }

  #fail(error: Error): void {
    if (this.#state !== "pending") return;
    this.#state = "rejected";
    this.#error = error;
    this.#finished = now();
    this.#reject?.(error);
    if (!this.#observed) {
      startTimer(0, () => {
        if (!this.#observed)
          this.#options.logger?.error(`nobody looked at the failure of ${this.opType} ${this.sequence}:`, error);
      });
    }
  }
}

/** Is told of a Work that has ended. */
export type CompletionHook = (info: WorkInfo) => void;

/** Tells the hooks of `work`, which is about to settle; the error that one throws rejects it, or is logged if it fails already (`reject` is null). */
export function tellHooks(
  hooks: readonly CompletionHook[],
  work: Work<unknown>,
  reject: ((error: Error) => void) | null,
  logger: Logger,
): void {
  for (const hook of hooks) {
    try {
      hook(work.info(now()));
    } catch (error) {
      if (reject) reject(asError(error));
      else logger.error("a completion hook threw after a failed Work:", error);
    }
  }
}
