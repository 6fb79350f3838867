/**
 * Persistent calls (MPI-4's `MPI_Allreduce_init` and `MPI_Start`): a collective that is made once and started many times. The
 * making checks the arguments, plans the call, and compares the calls of all ranks; a start moves flags and bytes only.
 *
 * A start tells the others the number of its making, beside all that its making told. So ranks that start different calls,
 * or one that has none, get a MismatchError, though the calls may look the same.
 */
import type { Backend, Call, PersistentRun } from "../backend/backend.ts";
import type { CollectiveOptions } from "../options.ts";
import type { TensorView } from "../tensor/view.ts";
import type { Persistent, PreparedCall } from "./prepared-call.ts";
import type { Work } from "./work.ts";

/** A collective that was made once, to be started many times. */
export interface PersistentCall {
  /**
   * The making, which is a collective call of its own: it ends when every rank has made the same call, and touches no tensor. Rejects as the
   * collective itself would: with TypeError or RangeError for an argument, with MismatchError where the ranks' calls differ. It need not
   * be awaited: a start runs after it, and rejects with its error.
   */
  readonly ready: Work<void>;
  /**
   * Runs the collective on the tensors as they are now. Every rank starts the same calls in the same order, among its other
   * calls. The tensors belong to the call until the Work has ended; between starts their elements are the caller's.
   *
   * A start that has ended well when this returns may give the Work of an earlier one that did, with that one's `sequence`
   * and `durationMs()`; it is a new one if the group has completion hooks.
   *
   * Rejects as the collective does; with TypeError if the start before has not ended, after `free()`, and if a tensor's buffer was
   * detached. Then the other ranks' starts reject with MismatchError, and the group goes on.
   */
  start(): Work<void>;
  /** Ends it on this rank: nothing is started any more. A start that runs goes on to its end. Nothing is sent; a second `free` does nothing. */
  free(): void;
}

/** The collectives that can be persistent: all that have tensors of the whole group, and barrier. */
export const PERSISTENT_COLLECTIVES = [
  "broadcast",
  "allReduce",
  "reduce",
  "allGather",
  "allGatherIntoTensor",
  "gather",
  "scatter",
  "reduceScatter",
  "reduceScatterTensor",
  "allToAll",
  "allToAllSingle",
  "scan",
  "exscan",
  "allReduceCoalesced",
  "allGatherIntoTensorCoalesced",
  "reduceScatterTensorCoalesced",
  "barrier",
] as const;

/** The collectives that may be persistent: those of tensors, and `barrier`. */
export type PersistentCollective = (typeof PERSISTENT_COLLECTIVES)[number];

/** Makes a persistent call for each of these methods of a group, with the arguments that it takes. */
export type PersistentCallsOf<G extends Record<PersistentCollective, unknown>> = {
  readonly [C in PersistentCollective]: G[C] extends (...args: infer A) => unknown
    ? (...args: A) => PersistentCall
    : never;
};

/** `persist` runs a method of `group`, and makes a persistent call of what it calls. */
export function persistentCallsOf<G extends Record<PersistentCollective, (...args: never[]) => Work<void>>>(
  group: G,
  persist: (body: () => Work<void>) => PersistentCall,
): PersistentCallsOf<G> {
  const entries = PERSISTENT_COLLECTIVES.map((name) => [
    name,
    (...args: never[]) => persist(() => group[name](...args)),
  ]);
  return Object.fromEntries(entries) as PersistentCallsOf<G>;
}

/** The part of the call runner that a persistent call needs. */
interface Runner {
  readonly backend: Backend;
  start<T>(prepared: PreparedCall<T>, options: CollectiveOptions): Work<T>;
  refuse(error: Error, where: string): Work<never>;
}

/** See the file's head. */
export class Making implements PersistentCall, Persistent {
  ready: Work<void>;
  sequence = 0;
  done: Work<unknown> | null = null;
  readonly #runner: Runner;
  /** What a start runs; null if the making was refused. */
  #prepared: PreparedCall<unknown> | null = null;
  #options: CollectiveOptions = {};
  #views: readonly TensorView[] = [];
  #planned: PersistentRun | null = null;
  /** The making, if it did not end at once. */
  #made: PersistentRun["made"];
  #last: Work<void> | null = null;
  #freed = false;

  /** `make` calls the collective, which is given {@link making} in its place. */
  constructor(runner: Runner, make: (call: Making) => Work<void>) {
    this.#runner = runner;
    this.ready = make(this);
  }

  /** Takes the checked collective, and gives the call that makes it persistent. */
  making<T>(prepared: PreparedCall<T>, options: CollectiveOptions): PreparedCall<T> {
    const { request, read = [], written = [], value } = prepared;
    this.#prepared = { ...prepared, persistent: this };
    this.#options = { ...options };
    this.#views = [...read, ...written];
    return { request, value, persistent: this };
  }

  start(): Work<void> {
    const obstacle = this.#obstacle();
    // Whoever looks at the start's failure has seen that of the making.
    if (!this.ready.isCompleted()) this.ready.catch(() => undefined);
    if (!this.#prepared) return this.#runner.refuse(obstacle!, "start");
    const prepared = obstacle ? { ...this.#prepared, obstacle } : this.#prepared;
    // None of these collectives has a value.
    const work = this.#runner.start(prepared, this.#options) as Work<void>;
    if (!obstacle) this.#last = work;
    return work;
  }

  free(): void {
    this.#freed = true;
    this.#planned = null;
  }

  run(call: Call): PersistentRun["made"] {
    const { backend } = this.#runner;
    const request = this.#prepared!.request;
    if (this.#planned) return this.#withMaking(this.#planned.start(call));
    if (call.sequence !== call.persistent) return backend.run(request, call);
    this.sequence = call.sequence;
    this.#planned = backend.persist?.(request, call) ?? null;
    this.#made = this.#planned?.made;
    return this.#made;
  }

  /** A start that overtakes the making, as that of a root may, ends with it. */
  #withMaking(started: PersistentRun["made"]): PersistentRun["made"] {
    const made = this.#made;
    if (!made || this.ready.isCompleted()) return started;
    return Promise.resolve(started).then((source) => made.then(() => source));
  }

  /** Why a start cannot be now, or null. */
  #obstacle(): Error | null {
    if (this.#freed) return new TypeError(`${this.#name} was freed: make the call anew`);
    const last = this.#last;
    if (last && !last.isCompleted()) return new TypeError(`${this.#name} is still running: await that one first`);
    if (this.ready.isCompleted() && !this.ready.isSuccess()) return this.ready.exception();
    for (const { buffer, byteOffset, byteLength, memory } of this.#views) {
      if (memory === "host" && buffer.byteLength < byteOffset + byteLength) {
        return new TypeError(`${this.#name}: a tensor's buffer was detached or became shorter: make the call anew`);
      }
    }
    return null;
  }

  /** The call, as an error names it. */
  get #name(): string {
    return `persistent ${this.#prepared?.request.collective ?? "call"} ${this.sequence}`;
  }
}
