/**
 * CallRunner: the one funnel every call of a group passes. It numbers calls, claims their tensors, keeps their deadlines,
 * hands them to the backend, and turns the outcome into a {@link Work}.
 */

import type { Backend, Call } from "../backend/backend.ts";
import {
  AbortedError,
  fromWireError,
  MismatchError,
  TimeoutError,
  toWireError,
  UnsupportedError,
  WebcclError,
} from "../errors.ts";
import { checkOptions, type OptionNames } from "../option-checks.ts";
import type { CollectiveOptions } from "../options.ts";
import { isMessage, type Request } from "../request.ts";
import { now, sleep, startTimer } from "../support/clock.ts";
import type { TensorView } from "../tensor/view.ts";
import type { Job } from "./job.ts";
import { asError, OP_TYPES, Work, type WorkInfo } from "./work.ts";

/** How long the search for stragglers may hold up a TimeoutError, in milliseconds. */
const STRAGGLER_MS = 500;

/** A checked call, ready to run. */
export interface PreparedCall<T> {
  request: Request;
  /** Tensors the call reads, and those it writes. */
  read?: readonly TensorView[];
  written?: readonly TensorView[];
  /** The Work's value. */
  value: (source: number | undefined) => T;
}

/** The parts and settings of a call runner. */
export interface CallRunnerOptions {
  job: Job;
  groupName: string;
  rank: number;
  /** Makes the group's backend, which calls `onDead` when the group cannot go on. */
  makeBackend(onDead: (cause: WebcclError) => void): Backend;
}

/** Calls of one group on one rank. */
export class CallRunner {
  /** Number of the last collective. */
  sequence = 0;
  /** Why the group is dead, or null. */
  dead: WebcclError | null = null;

  readonly backend: Backend;

  readonly #options: CallRunnerOptions;
  readonly #job: Job;
  #pointToPointSequence = 0;
  readonly #pending = new Map<Work<unknown>, { call: Call; request: Request; reject(error: Error): void }>();
  readonly #hooks: ((info: WorkInfo) => void)[] = [];
  #collected: Work<unknown>[] | null = null;

  constructor(options: CallRunnerOptions) {
    this.#options = options;
    this.#job = options.job;
    this.backend = options.makeBackend((cause) => this.die(cause));
  }

  /**
   * Checks a call of the method `where`, whose options have `names`, with `prepare`, and runs it. Whatever is thrown rejects
   * the Work, and nothing has happened.
   */
  run<T, O extends CollectiveOptions>(
    where: string,
    names: OptionNames<O>,
    options: O,
    prepare: () => PreparedCall<T>,
  ): Work<T> {
    const work = this.#checked(where, names, options, prepare);
    this.#collected?.push(work);
    return work;
  }

  /** Runs `body` and returns one Work for all calls that it makes. */
  collect(body: () => void, opType: Work<void>["opType"]): Work<void> {
    const outer = this.#collected;
    const works: Work<unknown>[] = [];
    this.#collected = works;
    try {
      body();
    } finally {
      this.#collected = outer;
    }
    const all = Promise.all(works).then(() => undefined);
    return Work.fromPromise(all, { opType, sequence: this.sequence, logger: this.#job.settings.logger });
  }

  onCompletion(hook: (info: WorkInfo) => void): void {
    this.#hooks.push(hook);
  }

  /** Resolves when nothing is pending; never rejects for a Work's failure. */
  async waitForPendingWorks(): Promise<void> {
    while (this.#pending.size > 0) await Promise.allSettled([...this.#pending.keys()]);
  }

  get pendingCount(): number {
    return this.#pending.size;
  }

  /** The group is dead. Pending Works reject as the backend ends them; those it forgets are rejected soon after. */
  die(cause: WebcclError): void {
    if (this.dead) return;
    this.dead = cause;
    startTimer(0, () => {
      for (const { reject } of [...this.#pending.values()]) reject(cause);
    });
  }

  /** Kills the group, here and at the other ranks. */
  abort(cause: WebcclError): void {
    if (this.dead) return;
    this.backend.abort(cause);
    this.die(cause);
  }

  #checked<T, O extends CollectiveOptions>(
    where: string,
    names: OptionNames<O>,
    options: O,
    prepare: () => PreparedCall<T>,
  ): Work<T> {
    let prepared: PreparedCall<T>;
    try {
      checkOptions(where, names, options);
      checkTimeout(options);
      prepared = prepare();
    } catch (error) {
      return this.#refused(asError(error));
    }
    return this.#start(prepared, options);
  }

  #start<T>(prepared: PreparedCall<T>, options: CollectiveOptions): Work<T> {
    const { request, read = [], written = [] } = prepared;
    if (this.dead) return this.#refused(this.#placed(this.dead, request, null));
    const pointToPoint = isMessage(request);
    const sequence = (pointToPoint ? this.#pointToPointSequence : this.sequence) + 1;
    const call: Call = {
      sequence,
      algorithm: options.algorithm ?? this.#job.settings.algorithm,
      deterministic: this.#job.settings.deterministic,
      started: now(),
      overwritten: false,
    };

    let running: Promise<number | undefined> | undefined;
    try {
      options.signal?.throwIfAborted();
      this.#job.claims.check({ collective: request.collective, sequence }, read, written);
      running = this.backend.run(request, call);
    } catch (error) {
      return this.#refused(asError(error));
    }
    if (pointToPoint) this.#pointToPointSequence = sequence;
    else this.sequence = sequence;
    return running ? this.#pend(running, prepared, call, options) : this.#done(prepared, call);
  }

  /** The Work of a call that runs. */
  #pend<T>(
    running: Promise<number | undefined>,
    { request, read = [], written = [], value }: PreparedCall<T>,
    call: Call,
    options: CollectiveOptions,
  ): Work<T> {
    const { deadlines, claims, settings } = this.#job;
    const { collective } = request;
    const { sequence, started } = call;
    const claim = claims.claim({ collective, sequence }, read, written);
    const onAbort = (reason: unknown) => this.#abortCall(request, call, reason);
    const opType = OP_TYPES[collective];
    const { work, fulfill, reject } = Work.pending<T>({ opType, sequence, logger: settings.logger, onAbort, started });
    const { signal } = options;
    const onSignal = () => onAbort(signal?.reason);
    signal?.addEventListener("abort", onSignal, { once: true });
    const timeoutMs = options.timeoutMs ?? settings.timeoutMs;
    const deadline = deadlines.set(timeoutMs, () => void this.#expire(request, call, timeoutMs));
    const end = () => {
      deadlines.clear(deadline);
      claims.release(claim);
      signal?.removeEventListener("abort", onSignal);
      return this.#pending.delete(work as Work<unknown>);
    };
    const fail = (error: Error) => {
      if (!end()) return;
      reject(this.#placed(error, request, call));
      this.#runHooks(work, null);
    };
    this.#pending.set(work as Work<unknown>, { call, request, reject: fail });
    running.then(
      (source) => {
        let result: T;
        try {
          // It may be made of what another rank sent.
          result = value(source);
        } catch (error) {
          fail(asError(error));
          return;
        }
        if (!end()) return;
        this.#runHooks(work, reject);
        fulfill(result);
      },
      (error) => fail(asError(error)),
    );
    return work;
  }

  /** The Work of a call that ended well before it returned. */
  #done<T>({ request, value }: PreparedCall<T>, call: Call): Work<T> {
    const { sequence, started } = call;
    const options = { opType: OP_TYPES[request.collective], sequence, logger: this.#job.settings.logger, started };
    let result: T;
    try {
      result = value(undefined);
    } catch (error) {
      return this.#refused(this.#placed(asError(error), request, call));
    }
    if (this.#hooks.length === 0) return Work.done(options, result);
    const { work, fulfill, reject } = Work.pending<T>(options);
    this.#runHooks(work, reject);
    fulfill(result);
    return work;
  }

  /** Tells the hooks; what one throws rejects the Work, or is logged if that has failed already. */
  #runHooks(work: Work<unknown>, reject: ((error: Error) => void) | null): void {
    for (const hook of this.#hooks) {
      try {
        hook({ ...work.info(), timeFinished: now() });
      } catch (error) {
        if (reject) reject(asError(error));
        else this.#job.settings.logger.error("a completion hook threw after a failed Work:", error);
      }
    }
  }

  async #expire(request: Request, call: Call, timeoutMs: number): Promise<void> {
    if (this.dead) return;
    const missing = await this.#stragglers(request, call);
    const { groupName } = this.#options;
    this.abort(
      new TimeoutError(
        `group "${groupName}": ${request.collective} ${call.sequence} did not end within ${timeoutMs} ms; ` +
          (missing.length > 0 ? `missing: rank ${missing.join(", rank ")}` : "which rank is missing could not be told"),
        { group: groupName, collective: request.collective, sequence: call.sequence, missingRanks: missing },
      ),
    );
  }

  #stragglers(request: Request, call: Call): Promise<number[]> {
    if (request.collective === "send" || request.collective === "recv") return Promise.resolve([request.peer]);
    if (request.collective === "recvAnySource") return Promise.resolve([]);
    return Promise.race([this.backend.stragglers(call.sequence), sleep(STRAGGLER_MS).then(() => [])]);
  }

  #abortCall(request: Request, call: Call, reason: unknown): void {
    const { groupName } = this.#options;
    const error = new AbortedError(
      `group "${groupName}": ${request.collective} ${call.sequence} was aborted: ${reasonText(reason)}`,
      { group: groupName, collective: request.collective, sequence: call.sequence, cause: reason },
    );
    const receives = request.collective === "recv" || request.collective === "recvAnySource";
    if (receives && this.backend.withdraw(call.sequence, error)) return;
    this.abort(error);
  }

  #refused(error: Error): Work<never> {
    const { work, reject } = Work.pending<never>({
      opType: "UNKNOWN",
      sequence: this.sequence,
      logger: this.#job.settings.logger,
    });
    reject(error);
    return work;
  }

  /** The error as this call tells it: with the rank, the call, and what became of the tensors. */
  #placed(error: Error, request: Request, call: Call | null): Error {
    if (!(error instanceof WebcclError) || error instanceof UnsupportedError) return error;
    const { rank } = this.#options;
    const wire = toWireError(error);
    const sequence = call?.sequence ?? this.sequence + 1;
    if (!(error instanceof MismatchError)) {
      wire.message = `rank ${rank}, ${request.collective} ${sequence}: ${error.message}`;
    }
    return fromWireError(wire, {
      rank,
      collective: request.collective,
      sequence,
      tensors: call?.overwritten ? "overwritten" : "untouched",
      cause: error,
    });
  }
}

function checkTimeout({ timeoutMs }: CollectiveOptions): void {
  if (timeoutMs !== undefined && !(timeoutMs > 0)) {
    throw new RangeError(`timeoutMs must be a positive number of milliseconds, got ${timeoutMs}`);
  }
}

function reasonText(reason: unknown): string {
  return reason instanceof Error ? reason.message : String(reason);
}
