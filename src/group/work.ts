/**
 * Work: one asynchronous call, and its outcome. It is a promise, and knows the things c10d's Work knows.
 *
 * Nothing is allocated for an outcome that nobody looks at: the promise inside is made by the first `then`. So a Work that
 * rejects unobserved is no unhandled rejection of the process; it is reported to the group's logger once.
 */

import { TimeoutError, UnsupportedError, WebcclError } from "../errors.ts";
import type { Logger } from "../options.ts";
import { now, startQuietTimer, startTimer } from "../support/clock.ts";
import { asError } from "../support/thrown.ts";
import { timeLimitOf } from "../support/timeouts.ts";
import type { Collective } from "../types.ts";

/** c10d's operation types. `scan` and `exscan`, which c10d lacks, are UNKNOWN. */
export type OpType =
  | "BROADCAST"
  | "ALLREDUCE"
  | "ALLREDUCE_COALESCED"
  | "REDUCE"
  | "ALLGATHER"
  | "_ALLGATHER_BASE"
  | "ALLGATHER_COALESCED"
  | "GATHER"
  | "SCATTER"
  | "REDUCE_SCATTER"
  | "ALLTOALL_BASE"
  | "ALLTOALL"
  | "SEND"
  | "RECV"
  | "RECVANYSOURCE"
  | "BARRIER"
  | "_REDUCE_SCATTER_BASE"
  | "COALESCED"
  | "_ALLREDUCE_SPARSE"
  | "UNKNOWN";

/** The operation type of each collective. */
export const OP_TYPES: Readonly<Record<Collective, OpType>> = {
  broadcast: "BROADCAST",
  allReduce: "ALLREDUCE",
  reduce: "REDUCE",
  allGather: "ALLGATHER",
  allGatherIntoTensor: "_ALLGATHER_BASE",
  gather: "GATHER",
  scatter: "SCATTER",
  reduceScatter: "REDUCE_SCATTER",
  reduceScatterTensor: "_REDUCE_SCATTER_BASE",
  allToAll: "ALLTOALL",
  allToAllSingle: "ALLTOALL_BASE",
  barrier: "BARRIER",
  newGroup: "BARRIER",
  scan: "UNKNOWN",
  exscan: "UNKNOWN",
  send: "SEND",
  recv: "RECV",
  recvAnySource: "RECVANYSOURCE",
  allGatherObject: "ALLGATHER",
  broadcastObject: "BROADCAST",
  gatherObject: "GATHER",
  scatterObject: "SCATTER",
  split: "ALLGATHER",
  allReduceCoalesced: "ALLREDUCE_COALESCED",
  allGatherIntoTensorCoalesced: "ALLGATHER_COALESCED",
  reduceScatterTensorCoalesced: "COALESCED",
};

/** How a Work ended, as c10d's `get_future_result` tells. */
export type WorkResult = "success" | "timeout" | "comm-error" | "unknown";

/** The promise of all Works that have ended well and have no value: most of those of short calls. */
const NOTHING = Promise.resolve(undefined);

/** What `onCompletion` is told of a Work. Times are milliseconds of `performance.now()`. */
export interface WorkInfo {
  readonly opType: OpType;
  readonly sequence: number;
  readonly timeStarted: number;
  readonly timeFinished: number;
  readonly activeDurationMs: number;
}

/** How a Work is made: by the process group, or by a backend of your own through {@link Work.fromPromise}. */
export interface WorkOptions {
  opType: OpType;
  sequence: number;
  logger?: Logger | undefined;
  /** When the call was made, as `performance.now()`. Default: now. */
  started?: number;
  /** What `abort()` does. */
  onAbort?: (reason: unknown) => void;
}

/** One call's outcome: awaitable, and to be asked. */
export class Work<T> implements Promise<T> {
  readonly opType: OpType;
  /** The call's number in its group. */
  readonly sequence: number;

  readonly #logger: Logger | undefined;
  readonly #onAbort: ((reason: unknown) => void) | undefined;
  readonly #started: number;
  #finished: number | null = null;
  #state: "pending" | "fulfilled" | "rejected" = "pending";
  #value: unknown;
  #error: Error | null = null;
  #observed = false;
  #promise: Promise<unknown> | null = null;
  #resolve: ((value: unknown) => void) | null = null;
  #reject: ((error: Error) => void) | null = null;

  private constructor({ opType, sequence, logger, onAbort, started }: WorkOptions) {
    this.opType = opType;
    this.sequence = sequence;
    this.#logger = logger;
    this.#onAbort = onAbort;
    this.#started = started ?? now();
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
    const { work, fulfill, reject } = Work.pending<Awaited<T>>({ opType: "UNKNOWN", sequence: 0, ...options });
    Promise.resolve(promise).then(fulfill, (error) => reject(asError(error)));
    return work;
  }

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

  /** Ends it with AbortedError. The group dies with it, unless it is a recv that no message has met. */
  abort(): void {
    if (this.#state === "pending") this.#onAbort?.("Work.abort() was called");
  }

  /** Milliseconds it took, or has taken so far. */
  durationMs(): number {
    return (this.#finished ?? now()) - this.#started;
  }

  /** What hooks are told. */
  info(): WorkInfo {
    return {
      opType: this.opType,
      sequence: this.sequence,
      timeStarted: this.#started,
      timeFinished: this.#finished ?? Number.NaN,
      activeDurationMs: this.durationMs(),
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
      }
    }
    return this.#promise as Promise<T>;
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
          this.#logger?.error(`nobody looked at the failure of ${this.opType} ${this.sequence}:`, error);
      });
    }
  }
}
