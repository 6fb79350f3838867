/**
 * Batch: the calls that the function given to `coalesce` makes. They are kept until it returns, and started only if all of
 * them may be. Reductions with one operation, and gathers, are then one call each, over all their tensors.
 */

import type { CollectiveOptions, Logger } from "../options.ts";
import { ReduceOp } from "../reduce-op.ts";
import { isMessage, type Request, resultsOf } from "../request.ts";
import { asError } from "../support/thrown.ts";
import { timeLimitOf } from "../support/timeouts.ts";
import { type Holding, requireApart } from "./claims.ts";
import { OP_TYPES } from "./op-type.ts";
import type { PreparedCall } from "./prepared-call.ts";
import { TURN, type TurnPart } from "./turns.ts";
import { Work, type WorkOptions } from "./work.ts";

/** A call that waits for its batch, and the Work that its caller has. */
interface BatchedCall {
  readonly prepared: PreparedCall<unknown>;
  readonly options: CollectiveOptions;
  readonly work: Work<unknown>;
  fulfill(value: unknown): void;
  reject(error: Error): void;
}

/** One call to start, for one or more calls of a batch. */
export interface FusedCall {
  readonly prepared: PreparedCall<unknown>;
  readonly options: CollectiveOptions;
  /** Lets the callers' Works end as `work` does. */
  follow(work: Work<unknown>): void;
}

/** See the file's head. */
export class Batch {
  /** Why none of the calls is to be started. */
  error: Error | null = null;
  /** Are all its calls single messages? Then no other rank counts them. */
  isOfMessages = true;
  readonly #calls: BatchedCall[] = [];
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Runs the function, which makes calls and adds them. An error that it throws, or a promise that it returns, is the batch's error. */
  fill(body: () => unknown): void {
    try {
      const returned = body();
      if (!(returned instanceof Work) && isPromise(returned)) {
        // It may reject for the same reason, and nobody has it.
        returned.then(undefined, () => {});
        throw new TypeError("coalesce: the function is async: make all calls before its first await");
      }
      requireApart(this.#calls.map(holdingsOf));
      for (const calls of this.#alike()) requireOneMemory(calls);
    } catch (error) {
      this.isOfMessages = false;
      this.error ??= asError(error);
    }
  }

  /** Takes the calls of a batch whose function ran within this one's: they start with this one's. Its Work ends when they have. */
  takeIn(inner: Batch): Work<void> {
    this.isOfMessages &&= inner.isOfMessages;
    this.#calls.push(...inner.#calls);
    const all = Promise.all(inner.#calls.map(({ work }) => work)).then(() => undefined);
    const tensors = () => inner.#calls.flatMap(({ prepared }) => resultsOf(prepared.request));
    const work = Work.fromPromise(all, { opType: "COALESCED", logger: this.#logger, tensors });
    // The outer batch's Work tells of failures.
    work.then(undefined, () => undefined);
    return work;
  }

  /** A call is made. */
  add<T>(prepared: PreparedCall<T>, options: CollectiveOptions): Work<T> {
    const { work, fulfill, reject } = Work.pending<T>({
      opType: OP_TYPES[prepared.request.collective],
      sequence: 0,
      logger: this.#logger,
      tensors: () => resultsOf(prepared.request),
    });
    this.isOfMessages &&= isMessage(prepared.request);
    this.#calls.push({ prepared, options: { ...options }, work, fulfill, reject } as BatchedCall);
    return work;
  }

  /** A call, which is for a single message or not, has wrong arguments: none is started. */
  refuse(error: Error, isMessage: boolean): Work<never> {
    this.isOfMessages &&= isMessage;
    this.error ??= error;
    const { work, reject } = Work.pending<never>({ opType: "UNKNOWN", sequence: 0, logger: this.#logger });
    reject(error);
    // The batch's Work tells of it.
    work.exception();
    return work;
  }

  /** No call is started: each rejects. */
  reject(error: Error): void {
    for (const call of this.#calls) rejectQuietly(call, error);
  }

  /** The calls to start, in an order that is the same wherever the same calls were made. */
  fuse(): FusedCall[] {
    return this.#alike().map((calls) => ({
      prepared: calls.length === 1 ? calls[0]!.prepared : fusedOf(calls.map(({ prepared }) => prepared)),
      options: optionsOf(calls.map(({ options }) => options)),
      follow: (work) => {
        work.then(
          (value) => {
            for (const call of calls) call.fulfill(value);
          },
          (error) => {
            for (const call of calls) rejectQuietly(call, asError(error));
          },
        );
      },
    }));
  }

  /** The calls, those together that are one call in the end. */
  #alike(): BatchedCall[][] {
    const groups: BatchedCall[][] = [];
    for (const call of this.#calls) {
      const alike = groups.find(([first]) => first && isFusible(first, call));
      if (alike) alike.push(call);
      else groups.push([call]);
    }
    return groups;
  }
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | null | undefined)?.then === "function";
}

/** The tensors of a call, as it uses them. A start of a persistent call looks after its own. */
function holdingsOf({ prepared }: BatchedCall, index: number): Holding[] {
  const { request, read = [], written = [], persistent } = prepared;
  if (persistent) return [];
  const owner = `${request.collective} ${index + 1} of the coalesce`;
  return [
    ...read.map((view) => ({ view, written: false, owner })),
    ...written.map((view) => ({ view, written: true, owner })),
  ];
}

/** @throws TypeError if calls that are one call in the end have their tensors in more than one memory. */
function requireOneMemory(calls: readonly BatchedCall[]): void {
  const views = calls.flatMap(({ prepared: { read = [], written = [] } }) => [...read, ...written]);
  const other = views.find(({ memory }) => memory !== views[0]?.memory);
  if (!other) return;
  throw new TypeError(
    `coalesce: ${calls[0]?.prepared.request.collective} calls are one call, whose tensors lie in one memory, not ${views[0]?.memory} and ${other.memory}`,
  );
}

/** The options of one call for several: the shortest time limit that any has, and all signals. */
function optionsOf(all: readonly CollectiveOptions[]): CollectiveOptions {
  const limits = all.flatMap(({ timeoutMs }) => (timeoutMs === undefined ? [] : timeLimitOf(timeoutMs)));
  const signals = [...new Set(all.flatMap(({ signal }) => signal ?? []))];
  const { algorithm, [TURN]: turn } = (all[0] ?? {}) as CollectiveOptions & TurnPart;
  return {
    ...turn?.part,
    ...(algorithm === undefined ? {} : { algorithm }),
    ...(limits.length === 0 ? {} : { timeoutMs: Math.min(...limits) }),
    ...(signals.length === 0 ? {} : { signal: signals.length === 1 ? signals[0]! : AbortSignal.any(signals) }),
  };
}

/** The batch's Work tells of the failure, so nobody has to look at the call's own. */
function rejectQuietly({ work, reject }: BatchedCall, error: Error): void {
  reject(error);
  work.exception();
}

function isFusible(a: BatchedCall, b: BatchedCall): boolean {
  const [one, other] = [a.prepared.request, b.prepared.request];
  const hasForm =
    one.collective === "allReduce" ||
    one.collective === "allGatherIntoTensor" ||
    one.collective === "reduceScatterTensor";
  // Time limits and signals are this rank's own: they must not decide how many calls the ranks make.
  return (
    hasForm &&
    !a.prepared.persistent &&
    !b.prepared.persistent &&
    one.collective === other.collective &&
    isOneOp(opOf(one), opOf(other)) &&
    accumulateOf(one) === accumulateOf(other) &&
    a.options.algorithm === b.options.algorithm
  );
}

function opOf(request: Request): ReduceOp | null {
  return "op" in request ? request.op : null;
}

function accumulateOf(request: Request): string | undefined {
  return "accumulate" in request ? request.accumulate : undefined;
}

/** Are they one operation on every rank? Factors are each rank's own: whether two of them are equal tells nothing of the others'. */
function isOneOp(a: ReduceOp | null, b: ReduceOp | null): boolean {
  return a === null || b === null ? a === b : a.name !== "premul-sum" && ReduceOp.equal(a, b);
}

/** Calls of one kind as its coalesced form. */
function fusedOf(calls: readonly PreparedCall<unknown>[]): PreparedCall<unknown> {
  const requests = calls.map(({ request }) => request);
  const read = calls.flatMap((call) => call.read ?? []);
  const written = calls.flatMap((call) => call.written ?? []);
  return { request: coalescedForm(requests), read, written, value: () => undefined };
}

function coalescedForm(requests: readonly Request[]): Request {
  const outputs = requests.flatMap((request) => ("output" in request ? [request.output] : []));
  const inputs = requests.flatMap((request) => ("input" in request ? [request.input] : []));
  const [first] = requests;
  switch (first?.collective) {
    case "allGatherIntoTensor":
      return { collective: "allGatherIntoTensorCoalesced", outputs, inputs };
    case "reduceScatterTensor":
      return {
        collective: "reduceScatterTensorCoalesced",
        outputs,
        inputs,
        op: first.op,
        accumulate: first.accumulate,
      };
    case "allReduce": {
      const tensors = requests.flatMap((request) => ("tensor" in request ? [request.tensor] : []));
      return { collective: "allReduceCoalesced", tensors, op: first.op, accumulate: first.accumulate };
    }
    default:
      throw new Error(`${first?.collective} has no coalesced form`);
  }
}

/**
 * One Work for `works`: it ends when all have, as the first that failed or well. `onEnd` is told just before, with the function
 * that rejects it still, or null if it fails.
 */
export function workOfAll(
  works: readonly Work<unknown>[],
  options: Omit<WorkOptions, "onAbort">,
  onEnd: (work: Work<void>, reject: ((error: Error) => void) | null) => void,
): Work<void> {
  const onAbort = () => {
    for (const work of works) work.abort();
  };
  const { work, fulfill, reject } = Work.pending<void>({ ...options, onAbort });
  void Promise.allSettled(works).then((outcomes) => {
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed) reject(asError(failed.reason));
    onEnd(work, failed ? null : reject);
    fulfill(undefined);
  });
  return work;
}
