/**
 * CallRunner: the one funnel every call of a group passes. It numbers calls, claims their tensors, keeps their deadlines,
 * hands them to the backend, and turns the outcome into a {@link Work}.
 */

import type { Backend, BackendsByDevice, Call } from "../backend/backend.ts";
import type { WebcclError } from "../errors.ts";
import { checkOptions, type OptionNames } from "../option-checks.ts";
import type { CollectiveOptions } from "../options.ts";
import { isMessage, isMessageName, type Request, resultsOf } from "../request.ts";
import { onAbort } from "../support/abort-listeners.ts";
import { now, sleep, startTimer } from "../support/clock.ts";
import { asError } from "../support/thrown.ts";
import { timeLimitOf } from "../support/timeouts.ts";
import type { Collective } from "../types.ts";
import { Batch, type FusedCall, workOfAll } from "./batch.ts";
import { abortedError, placedError, timeoutError } from "./call-errors.ts";
import type { Job } from "./job.ts";
import { OP_TYPES } from "./op-type.ts";
import { type Begun, CallNumbers } from "./pairing/call-numbers.ts";
import { afterRefused, obstacleTo, tellsOfRefused, untold } from "./pairing/refusals.ts";
import { workOfSatOut } from "./pairing/sat-out.ts";
import { Making, type PersistentCall } from "./persistent-call.ts";
import type { PreparedCall } from "./prepared-call.ts";
import type { GroupRecord } from "./trace/recorder.ts";
import { TURN, type Turn, type TurnPart, told } from "./turns.ts";
import { type CompletionHook, tellHooks, Work } from "./work.ts";

/** How long the search for stragglers may hold up a TimeoutError, in milliseconds: longer than ranks have to answer a probe. */
const STRAGGLER_MS = 600;

/** The parts and settings of a call runner. */
export interface CallRunnerOptions {
  job: Job;
  groupName: string;
  rank: number;
  /** Milliseconds for each call that names none. */
  timeoutMs: number;
  /** Where each call leaves a record. */
  record: GroupRecord;
  /** Makes the group's backend, which calls `onDead` when the group cannot go on. */
  makeBackend(onDead: (cause: WebcclError) => void): Backend;
  /** The one cause of which the group dies on all ranks. */
  agreeOnCause(cause: WebcclError): Promise<WebcclError>;
}

const NO_HOOKS: readonly CompletionHook[] = [];
const asItIs = (error: Error) => error;

/** Calls of one group on one rank. */
export class CallRunner {
  /** Number of the last collective. */
  sequence = 0;
  /** Why the group is dead, or null. */
  dead: WebcclError | null = null;
  readonly numbers = new CallNumbers();

  /** Replaced when backends are registered beside it. */
  backend: Backend & Partial<BackendsByDevice>;

  readonly #options: CallRunnerOptions;
  readonly #job: Job;
  #pointToPointSequence = 0;
  /** Collectives that were refused since the last one that began. */
  #refusedCalls = 0;
  readonly #pending = new Map<Work<unknown>, (error: Error) => void>();
  readonly #hooks: CompletionHook[] = [];
  /** Where calls go while the function given to `coalesce` runs. */
  #batch: Batch | null = null;
  /** The persistent call that the next call is to make. */
  #making: Making | null = null;

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
    let prepared: PreparedCall<T>;
    try {
      checkOptions(this.#making ? `persistent.${where}` : where, names, options);
      if (options.timeoutMs !== undefined) timeLimitOf(options.timeoutMs, `${where}: timeoutMs`);
      prepared = prepare();
    } catch (error) {
      return this.refuse(asError(error), where);
    }
    return this.start(this.#making?.making(prepared, options) ?? prepared, options);
  }

  /** Runs a call that is checked. */
  start<T>(prepared: PreparedCall<T>, options: CollectiveOptions): Work<T> {
    return this.#batch ? this.#batch.add(prepared, options) : this.#start(prepared, options, this.#hooks);
  }

  /** A call of the method `where` cannot be. */
  refuse(error: Error, where: string): Work<never> {
    return this.#batch?.refuse(error, isMessageName(where)) ?? this.#refused(error, where);
  }

  /** The call that `body` makes is made persistent, in place of being run. */
  persist(body: () => Work<void>): PersistentCall {
    return new Making(this, (call) => {
      this.#making = call;
      try {
        return body();
      } finally {
        this.#making = null;
      }
    });
  }

  /** Runs `body`, starts the calls that it makes, and returns one Work for them all. */
  coalesce(body: () => unknown): Work<void> {
    const outer = this.#batch;
    const batch = new Batch(this.#job.settings.logger);
    this.#batch = batch;
    batch.fill(body);
    this.#batch = outer;
    const { error } = batch;
    if (error) {
      batch.reject(error);
      if (outer) return outer.refuse(error, batch.isOfMessages);
      return batch.isOfMessages ? this.#rejected(error, "coalesce") : this.#refused(error, "coalesce");
    }
    return outer ? outer.takeIn(batch) : this.#together(batch.fuse());
  }

  /** Starts calls, and returns one Work that ends when all have, as the first that fails or well. */
  #together(calls: readonly FusedCall[]): Work<void> {
    const { logger } = this.#job.settings;
    const works = calls.map(({ prepared, options, follow }) => {
      const work = this.#start(prepared, options, NO_HOOKS);
      follow(work);
      return work;
    });
    const tensors = () => calls.flatMap(({ prepared }) => resultsOf(prepared.request));
    const options = { opType: "COALESCED", sequence: this.sequence, logger, tensors } as const;
    return workOfAll(works, options, (work, reject) => tellHooks(this.#hooks, work, reject, logger));
  }

  onCompletion(hook: CompletionHook): void {
    this.#hooks.push(hook);
  }

  get hasHooks(): boolean {
    return this.#hooks.length > 0;
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
    this.#options.record.die(cause);
    startTimer(0, () => {
      for (const reject of [...this.#pending.values()]) reject(cause);
    });
  }

  /** Kills the group, here and at the other ranks. */
  abort(cause: WebcclError): void {
    if (this.dead) return;
    this.backend.abort(cause);
    this.die(cause);
  }

  /** Starts a call. `hooks` are told of its end: none for a part of a batch, whose Work tells them. */
  #start<T>(prepared: PreparedCall<T>, options: CollectiveOptions, hooks: readonly CompletionHook[]): Work<T> {
    const { request, persistent } = prepared;
    const { collective } = request;
    if (this.dead) return this.#refused(this.#placed(this.dead, request), collective);
    const pointToPoint = isMessage(request);
    const sequence = (pointToPoint ? this.#pointToPointSequence : this.sequence) + 1;
    const obstacle = prepared.obstacle ?? obstacleTo(prepared, { collective, sequence }, options.signal, this.#options);
    if (obstacle && pointToPoint) return this.#refused(obstacle, collective);
    if (obstacle) return this.#sitOut(request, sequence, obstacle, options);
    const started = now();
    const turn = (options as TurnPart)[TURN];
    const call: Call = {
      sequence,
      number: pointToPoint ? sequence : (turn?.begin() ?? this.numbers.next),
      persistent: persistent ? persistent.sequence || sequence : (turn?.mark ?? 0),
      refusedBefore: pointToPoint ? 0 : this.#refusedCalls,
      algorithm: options.algorithm ?? this.#job.settings.algorithm,
      deterministic: this.#job.settings.deterministic,
      started,
      began: started,
      overwritten: false,
    };
    let running: Promise<number | undefined> | undefined;
    try {
      running = persistent ? persistent.run(call) : this.backend.run(request, call);
    } catch (error) {
      return this.#refused(asError(error), collective);
    }
    if (pointToPoint) this.#pointToPointSequence = sequence;
    else this.#begun(request, sequence, turn);
    const { record, timeoutMs } = this.#options;
    const id = record.begin(prepared, call, timeLimitOf(options.timeoutMs ?? timeoutMs), running !== undefined);
    if (running) return this.#pend(running, prepared, call, options, hooks, id);
    if (!persistent || hooks.length > 0) return this.#done(prepared, call, hooks, id);
    // To take the time of a start would be a tenth of it.
    if (persistent.done) record.end(id, call, Number.NaN, null);
    else persistent.done = this.#done(prepared, call, hooks, id);
    return persistent.done as Work<T>;
  }

  /** A collective that this rank does not make has its number all the same; the other ranks' calls of that number reject. */
  #sitOut(request: Request, sequence: number, obstacle: Error, options: TurnPart): Work<never> {
    const { collective } = request;
    const turn = options[TURN];
    turn?.begin();
    const refused = this.#refusedCalls;
    const verdict = this.backend.sitOut(sequence, collective, afterRefused(obstacle, refused), request);
    this.#begun(request, sequence, turn);
    this.#options.record.refuse(collective, obstacle);
    const { begun } = this.numbers;
    if (!verdict) return this.#rejected(told(obstacle, this.#options.groupName), collective);
    return workOfSatOut(verdict, this.#options, {
      ...{ call: { collective, sequence }, obstacle, refused, pending: this.#pending },
      timeoutMs: timeLimitOf(options.timeoutMs ?? this.#options.timeoutMs),
      onHeard: (error) => this.#hear(error, sequence, begun, refused),
    });
  }

  /** A collective, before which calls were refused here, has ended with `error` on all ranks; so many calls had begun with it. */
  #hear(error: Error, sequence: number, begun: Begun, refused: number): void {
    this.#refusedCalls += untold(error, refused);
    if (tellsOfRefused(error)) this.numbers.resume(sequence, begun);
  }

  #begun(request: Request, sequence: number, turn: Turn | undefined): void {
    if (!turn) this.numbers.begin();
    this.sequence = sequence + (this.backend.numbers?.(request) ?? 1) - 1;
    this.#refusedCalls = 0;
  }

  /** The Work of a call that runs. */
  #pend<T>(
    running: Promise<number | undefined>,
    { request, read = [], written = [], value, failure = asItIs }: PreparedCall<T>,
    call: Call,
    options: CollectiveOptions,
    hooks: readonly CompletionHook[],
    id: number,
  ): Work<T> {
    const { deadlines, claims, settings } = this.#job;
    const { collective } = request;
    const { sequence, started } = call;
    const { begun } = this.numbers;
    const claim = claims.claim({ collective, sequence }, read, written);
    const abortCall = (reason: unknown) => this.#abortCall(request, call, reason);
    const { work, fulfill, reject } = Work.pending<T>({
      opType: OP_TYPES[collective],
      ...{ sequence, logger: settings.logger, onAbort: abortCall, started },
      began: () => call.began,
      tensors: () => resultsOf(request),
      own: running instanceof Work ? running : undefined,
    });
    const { signal } = options;
    const forgetSignal = signal && onAbort(signal, () => abortCall(signal.reason));
    const timeoutMs = timeLimitOf(options.timeoutMs ?? this.#options.timeoutMs);
    const deadline = deadlines.set(timeoutMs, () => void this.#expire(request, call, timeoutMs));
    const end = (error: Error | null) => {
      if (!this.#pending.delete(work as Work<unknown>)) return false;
      this.#options.record.end(id, call, now(), error);
      deadlines.clear(deadline);
      claims.release(claim);
      forgetSignal?.();
      return true;
    };
    const fail = (error: Error) => {
      if (!end(error)) return;
      this.#hear(error, sequence, begun, call.refusedBefore);
      reject(failure(error));
      tellHooks(hooks, work, null, settings.logger);
    };
    const failOnAll = (error: Error) => fail(told(this.#placed(error, request, call), this.#options.groupName));
    this.#pending.set(work as Work<unknown>, failOnAll);
    running.then(
      (source) => {
        let result: T;
        try {
          // It may be made of what another rank sent.
          result = value(source);
        } catch (error) {
          fail(this.#placed(asError(error), request, call));
          return;
        }
        if (!end(null)) return;
        tellHooks(hooks, work, reject, settings.logger);
        fulfill(result);
      },
      (error) => failOnAll(asError(error)),
    );
    return work;
  }

  /** The Work of a call that ended well before it returned. */
  #done<T>({ request, value }: PreparedCall<T>, call: Call, hooks: readonly CompletionHook[], id: number): Work<T> {
    const { record } = this.#options;
    const { sequence, started } = call;
    const { collective } = request;
    const { logger } = this.#job.settings;
    const options = { opType: OP_TYPES[collective], sequence, logger, started, tensors: () => resultsOf(request) };
    let result: T;
    try {
      result = value(undefined);
    } catch (error) {
      record.end(id, call, now(), asError(error));
      const work = this.#rejected(this.#placed(asError(error), request, call), collective);
      tellHooks(hooks, work, null, logger);
      return work;
    }
    if (hooks.length === 0) {
      const work = Work.done(options, result);
      record.end(id, call, started + work.durationMs(), null);
      return work;
    }
    record.end(id, call, now(), null);
    const { work, fulfill, reject } = Work.pending<T>(options);
    tellHooks(hooks, work, reject, logger);
    fulfill(result);
    return work;
  }

  async #expire(request: Request, call: Call, timeoutMs: number): Promise<void> {
    if (this.dead) return;
    const missing = await this.#stragglers(request, call);
    const name = { collective: request.collective, sequence: call.sequence };
    const error = timeoutError(this.#options.groupName, name, timeoutMs, missing);
    if (!this.dead) this.abort(await this.#options.agreeOnCause(error));
  }

  #stragglers(request: Request, call: Call): Promise<number[]> {
    if (request.collective === "send" || request.collective === "recv") return Promise.resolve([request.peer]);
    if (request.collective === "recvAnySource") return Promise.resolve([]);
    const told = this.backend.stragglers(call.sequence).catch(() => []);
    return Promise.race([told, sleep(STRAGGLER_MS).then(() => [])]);
  }

  #abortCall(request: Request, call: Call, reason: unknown): void {
    const { collective } = request;
    const error = abortedError(this.#options.groupName, { collective, sequence: call.sequence }, "was aborted", reason);
    const receives = collective === "recv" || collective === "recvAnySource";
    if (receives && this.backend.withdraw(call.sequence, error)) return;
    this.abort(error);
  }

  /**
   * A call of the method `where` that has not happened, and has no number. Collectives of other ranks may have; so the next one
   * tells them how many were refused here, and no two that are one off are taken for the same.
   */
  #refused(error: Error, where: string): Work<never> {
    if (!isMessageName(where)) this.#refusedCalls++;
    this.#options.record.refuse(where, error);
    return this.#rejected(where === "coalesce" ? error : told(error, this.#options.groupName), where);
  }

  #rejected(error: Error, where: string): Work<never> {
    const { work, reject } = Work.pending<never>({
      opType: OP_TYPES[where as Collective] ?? "UNKNOWN",
      sequence: this.sequence,
      logger: this.#job.settings.logger,
    });
    reject(error);
    return work;
  }

  #placed(error: Error, { collective }: Request, call?: Call): Error {
    const { sequence, overwritten } = call ?? { sequence: this.sequence + 1, overwritten: false };
    return placedError(error, this.#options.rank, { collective, sequence }, overwritten);
  }
}
