/**
 * CheckedBackend: a backend that a user wrote, held to the contract. What it lacks is told when it is made; what it returns or
 * throws against the contract is told at the call, and ends in no other place.
 */
import { WebcclError } from "../../errors.ts";
import type { ObjectRequest, Request } from "../../request.ts";
import { startTimer, type Timer } from "../../support/clock.ts";
import { asError } from "../../support/thrown.ts";
import { COLLECTIVES, type Collective } from "../../types.ts";
import {
  type Backend,
  type BackendContext,
  type BackendTraffic,
  type Call,
  type PersistentRun,
  type SatOut,
  unsupported,
} from "../backend.ts";

const METHODS = ["sitOut", "stragglers", "withdraw", "abort", "dispose"] as const;

/** `run`, or a method for each collective, which is given requests of that one alone. */
type Methods = Partial<Record<Collective | "run", (request: Request, call: Call) => unknown>>;

/** See the file's head. */
export class CheckedBackend implements Backend {
  readonly name: string;
  /** As the user's function returned it. */
  readonly given: Backend;
  readonly lacks: readonly Collective[];
  readonly persist?: (request: Request, call: Call) => PersistentRun;
  readonly #context: BackendContext;

  /** @throws TypeError that names all that `given` lacks. */
  constructor(given: unknown, context: BackendContext) {
    this.given = backendOf(given, true);
    this.name = this.given.name;
    const { lacks } = this.given;
    if (lacks !== undefined && !Array.isArray(lacks)) {
      throw new TypeError(`backend "${this.name}": lacks must be a list of collectives, got ${kindOf(lacks)}`);
    }
    this.lacks = lacks ?? (typeof this.given.run === "function" ? [] : lackedBy(this.given));
    this.#context = context;
    if (this.given.persist) this.persist = (request, call) => this.#persist(request, call);
  }

  get traffic(): BackendTraffic | undefined {
    return this.#guarded("traffic", () => this.given.traffic);
  }

  waitingFor(sequence: number): readonly number[] {
    return this.#guarded("waitingFor", () => this.given.waitingFor?.(sequence)) ?? [];
  }

  run(request: Request, call: Call): ReturnType<Backend["run"]> {
    const singles = this.#singlesOf(request);
    return singles ? this.#runSingles(singles, call) : this.#run(request, call);
  }

  numbers(request: Request): number {
    return Math.max(1, this.#singlesOf(request)?.length ?? 1);
  }

  async sitOut(
    sequence: number,
    collective: Collective,
    reason: Error,
    request: Request,
  ): Promise<WebcclError | undefined> {
    const singles = this.#singlesOf(request);
    const verdicts = (singles ?? [request]).map((one, i) => {
      const name = singles ? one.collective : collective;
      return this.#guarded("sitOut", () => this.given.sitOut(sequence + i, name, reason, one));
    });
    const [first] = await Promise.all(verdicts.map((verdict) => this.#verdictOf(verdict)));
    return first;
  }

  /** The user's code may have given anything. */
  async #verdictOf(given: SatOut): Promise<WebcclError | undefined> {
    try {
      const verdict: unknown = await given;
      return verdict instanceof WebcclError ? verdict : undefined;
    } catch (error) {
      this.#tell("sitOut", error);
      return undefined;
    }
  }

  async stragglers(sequence: number): Promise<number[]> {
    const ranks: unknown = await this.given.stragglers(sequence);
    const isRank = (rank: unknown) => Number.isInteger(rank) && Number(rank) >= 0 && Number(rank) < this.#context.size;
    return Array.isArray(ranks) ? ranks.filter(isRank) : [];
  }

  withdraw(sequence: number, reason: WebcclError): boolean {
    return this.#guarded("withdraw", () => this.given.withdraw(sequence, reason)) === true;
  }

  abort(cause: WebcclError): void {
    this.#guarded("abort", () => this.given.abort(cause));
  }

  async dispose(): Promise<void> {
    const { timeoutMs } = this.#context;
    let timer: Timer | undefined;
    const late = new Promise<void>((resolve) => {
      timer = startTimer(timeoutMs, () => {
        this.#context.logger.error(`backend "${this.name}": dispose did not end within ${timeoutMs} ms`);
        resolve();
      });
    });
    try {
      await Promise.race([this.given.dispose(), late]);
    } catch (error) {
      this.#tell("dispose", error);
    }
    timer?.cancel();
  }

  #run(request: Request, call: Call): ReturnType<Backend["run"]> {
    const { collective } = request;
    if (this.lacks.includes(collective)) throw unsupported(this.name, collective);
    const methods = this.given as unknown as Methods;
    const method = typeof methods.run === "function" ? "run" : collective;
    const running = this.#awaitable(methods[method]!(request, call), method, collective);
    return "received" in request ? this.#withObjects(running, request, method) : running;
  }

  /** Ends with an error if the bytes of a source are missing. */
  #withObjects(
    running: ReturnType<Backend["run"]>,
    request: ObjectRequest,
    method: string,
  ): ReturnType<Backend["run"]> {
    const check = () => {
      const { collective, sources, received } = request;
      const missing = sources.find((source) => !received[source]);
      if (missing === undefined) return undefined;
      throw new TypeError(
        `backend "${this.name}": ${method} ended ${collective} without the bytes of rank ${missing} in request.received`,
      );
    };
    return running ? running.then(check) : check();
  }

  /** All at once. What the first refuses has not happened at all. */
  #runSingles(singles: readonly Request[], call: Call): ReturnType<Backend["run"]> {
    const calls = singles.map((_, i) => ({
      ...call,
      sequence: call.sequence + i,
      refusedBefore: i ? 0 : call.refusedBefore,
    }));
    const runs = singles.map((single, i) => (i === 0 ? this.#run(single, calls[0]!) : null));
    const all = runs.map(async (first, i) => first ?? (i === 0 ? undefined : this.#run(singles[i]!, calls[i]!)));
    return Promise.allSettled(all).then((outcomes) => {
      call.overwritten ||= calls.some(({ overwritten }) => overwritten);
      const failed = outcomes.find((outcome) => outcome.status === "rejected");
      if (failed) throw failed.reason;
      return undefined;
    });
  }

  /** The calls that stand for a coalesced one which the backend has not; null for any other call. */
  #singlesOf(request: Request): Request[] | null {
    return this.lacks.includes(request.collective) ? singlesOf(request) : null;
  }

  #persist(request: Request, call: Call): PersistentRun {
    const { collective } = request;
    // Single calls stand for it, and each start makes them.
    if (this.#singlesOf(request)) return { made: undefined, start: (next) => this.run(request, next) };
    if (this.lacks.includes(collective)) throw unsupported(this.name, collective);
    const planned = this.given.persist!(request, call);
    if (typeof planned?.start !== "function") {
      throw new TypeError(`backend "${this.name}": persist must return { made, start }, for ${collective}`);
    }
    return {
      made: this.#awaitable(planned.made, "persist: made", collective),
      start: (next) => this.#awaitable(planned.start(next), "start", collective),
    };
  }

  /** @throws TypeError if a method returned neither a promise nor undefined: nobody could tell when the call ends. */
  #awaitable(returned: unknown, method: string, collective: Collective): ReturnType<Backend["run"]> {
    if (returned === undefined || returned instanceof Promise || isWork(returned)) {
      return returned as ReturnType<Backend["run"]>;
    }
    // What its `then` does is nobody's promise: it may throw, or answer twice.
    if (typeof (returned as PromiseLike<undefined> | null)?.then === "function") {
      return Promise.resolve(returned as PromiseLike<undefined>);
    }
    throw new TypeError(
      `backend "${this.name}": ${method} returned ${kindOf(returned)} for ${collective}: a promise or a Work is needed, or undefined if the call has ended`,
    );
  }

  /** What the method throws is told, and the group goes on: the other ranks wait for what comes next. */
  #guarded<T>(method: string, body: () => T): T | undefined {
    try {
      return body();
    } catch (error) {
      this.#tell(method, error);
      return undefined;
    }
  }

  #tell(method: string, error: unknown): void {
    this.#context.logger.error(`backend "${this.name}": ${method} threw ${asError(error).message}`);
  }
}

/** A user's Work is handed on as it is: the caller's Work asks it. */
const isWork = (value: unknown) => (value as { [Symbol.toStringTag]?: string } | null)?.[Symbol.toStringTag] === "Work";

/**
 * `given` as a backend, which has a `run`, or where `methods` may stand for it, a method for any collective.
 * @throws TypeError that names all that it lacks.
 */
export function backendOf(given: unknown, methods = false): Backend {
  const fields = given as Partial<Record<string, unknown>> | null;
  if (typeof fields !== "object" || fields === null || typeof fields.then === "function") {
    throw new TypeError(`a backend is needed, and ${kindOf(given)} is none: return it at once from the function`);
  }
  const { name } = fields;
  const isNamed = typeof name === "string" && name !== "";
  const lacks: string[] = isNamed ? [] : ["name"];
  if (typeof fields.run !== "function" && !(methods && hasCollective(fields))) lacks.push("run");
  lacks.push(...METHODS.filter((method) => typeof fields[method] !== "function"));
  if (lacks.length === 0) return given as Backend;
  const which = isNamed ? `backend "${name}"` : "the backend";
  throw new TypeError(`${which} lacks ${lacks.join(", ")}: the type Backend has the contract (docs/backends.md)`);
}

function hasCollective(fields: Partial<Record<string, unknown>>): boolean {
  return COLLECTIVES.some((collective) => typeof fields[collective] === "function");
}

/** The collectives for which there is no method. */
function lackedBy(methods: object): Collective[] {
  return COLLECTIVES.filter((collective) => typeof (methods as Methods)[collective] !== "function");
}

/** The calls that a coalesced form stands for. */
function singlesOf(request: Request): Request[] | null {
  switch (request.collective) {
    case "allReduceCoalesced":
      return request.tensors.map((tensor) => ({
        collective: "allReduce",
        tensor,
        op: request.op,
        accumulate: request.accumulate,
      }));
    case "broadcastCoalesced":
      return request.tensors.map((tensor) => ({ collective: "broadcast", tensor, root: request.root }));
    case "allGatherIntoTensorCoalesced":
      return request.outputs.map((output, i) => ({
        ...{ collective: "allGatherIntoTensor", output, input: request.inputs[i]! },
      }));
    case "reduceScatterTensorCoalesced": {
      const { op, accumulate } = request;
      return request.outputs.map((output, i) => ({
        ...{ collective: "reduceScatterTensor", output, input: request.inputs[i]!, op, accumulate },
      }));
    }
    default:
      return null;
  }
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof (value as { then?: unknown }).then === "function") return "a promise";
  return typeof value === "object"
    ? `an object of class ${value.constructor?.name ?? "none"}`
    : `the ${typeof value} ${String(value)}`;
}
