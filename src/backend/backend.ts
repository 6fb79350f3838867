/**
 * Backend: who runs the collective?
 *
 * The process group checks arguments, numbers calls, keeps deadlines and hands a {@link Request} to the backend of its
 * group. Write your own as an object with these methods, and pass `backend: (context) => new MyBackend(context)`.
 */
import { UnsupportedError, type WebcclError } from "../errors.ts";
import type { Logger } from "../options.ts";
import type { Request } from "../request.ts";
import type { Store } from "../store/store.ts";
import type { Collective, GpuDeviceLike } from "../types.ts";

/** How this one call is to be run. */
export interface Call {
  /** The call's number in its group, from 1; point-to-point calls count apart from collectives. */
  readonly sequence: number;
  /** The algorithm the caller named, or undefined. */
  readonly algorithm: string | undefined;
  /** Bits must not depend on anything but the inputs and the rank order. */
  readonly deterministic: boolean;
  /**
   * The call's number among the collectives that the program has made, or that of the composed call (`inTurn`) of which it is a part among
   * those. Two calls are the same only if this is equal.
   */
  readonly number: number;
  /**
   * The sequence of the making of the persistent call that this one makes (then it is the call's own sequence) or starts; a
   * number from 2^52 on for a part of a composed call, by its kind; 0 for any other call. Two calls are the same only if this is equal.
   */
  readonly persistent: number;
  /** How many calls this rank made since the last one that was begun, and was refused for their arguments. */
  readonly refusedBefore: number;
  /** When the call was made, as `performance.now()`. */
  readonly started: number;
  /** When the backend began it. At first: `started`; a backend sets NaN while a call waits for earlier ones, and then the time. */
  began: number;
  /** Set by the backend when it may have written the caller's tensors; told in an error's `tensors`. */
  overwritten: boolean;
}

/** Timers of calls that run; while one is set the process keeps running. */
export interface CallTimers {
  /** Calls `expire` once, `delayMs` from now, unless what this returns is given to `clear` before. */
  set(delayMs: number, expire: () => void): object;
  /** Gives up a timer that `set` returned, if it has not expired. */
  clear(timer: object): void;
}

/** The parts and settings of a backend. */
export interface BackendContext {
  /** This rank in the group, from 0 on. */
  readonly rank: number;
  /** How many ranks the group has. */
  readonly size: number;
  /** The group's name, which errors tell. */
  readonly groupName: string;
  /** Milliseconds for each call that names none, which the group enforces; Infinity for no timeout. */
  readonly timeoutMs: number;
  /** The group's own key space: `group.store`. */
  readonly store: Store;
  /** Where diagnostics go: the group's own. */
  readonly logger: Logger;
  /** Timers of the backend's calls. */
  readonly deadlines: CallTimers;
  /** The GPUDevice on which GPUBuffers lie: `group.device`. */
  readonly device: GpuDeviceLike | null;
  /**
   * A backend as the group would have without one of its own, to be wrapped: it is disposed of and aborted by whoever wraps it. Each call
   * makes another one, with channels of its own, so that all ranks must make as many in the same order.
   */
  builtIn(): Backend;
  /** To be called when the backend learns that the group cannot go on. */
  onDead(cause: WebcclError): void;
}

/** For `group.stats()`: what went between this rank and the others of its group. */
export interface BackendTraffic {
  /** Five numbers for each rank: bytes and messages sent, bytes and messages received, milliseconds for which calls waited for it. */
  readonly counts: Float64Array;
  /** Bytes sent to a rank that it has not taken yet, and those that wait to be sent. */
  inFlight(rank: number): number;
}

/** A persistent call, as a backend keeps it. */
export interface PersistentRun {
  /** As of {@link Backend.run}: ends when all ranks are known to have made the same call. No tensor is touched. */
  readonly made: ReturnType<Backend["run"]>;
  /** Runs it once more, as {@link Backend.run} does. The one before has ended. */
  start(call: Call): ReturnType<Backend["run"]>;
}

/** The error of the other ranks' calls, which all of them have; or nothing, where nobody can tell. */
// biome-ignore lint/suspicious/noConfusingVoidType: a user's backend may return nothing
export type SatOut = Promise<WebcclError | undefined> | undefined | void;

/** Runs collectives for one group. */
export interface Backend {
  /** "direct", "nccl", or your own. */
  readonly name: string;
  /**
   * Runs the collective. Several may run at once; they were called in the same order on every rank.
   * Resolves to the source rank for recv and recvAnySource, else to undefined; undefined itself if the call has ended well
   * already, which saves the few promises that would be the greater part of a short call's time.
   *
   * What it cannot run it refuses by throwing before anything is sent (TypeError, RangeError, UnsupportedError): then the
   * call has not happened, and its sequence goes to the next one, whose `refusedBefore` counts it.
   */
  run(request: Request, call: Call): Promise<number | undefined> | undefined;
  /**
   * Collectives that a user's backend has not: a call of one is an UnsupportedError that names it, on every rank. Of a coalesced
   * form that it has not, the group makes single calls, each with a number of its own; then all ranks give lists of one length.
   * Default: none, or where methods stand for `run`, all for which there is no method.
   */
  readonly lacks?: readonly Collective[];
  /** How many numbers the call takes, from its sequence on; webccl's own, where single calls stand for a coalesced one. Default: 1. */
  numbers?(request: Request): number;
  /**
   * Makes a persistent call: checks and plans the request, and compares the calls of all ranks. Refuses as `run` does. A backend
   * without this method sends nothing at the making, and gets every start as a call of `run`.
   */
  persist?(request: Request, call: Call): PersistentRun;
  /**
   * This rank does not make the collective `sequence`, for a reason that the other ranks need not have: it rejects there too,
   * with a MismatchError that tells `reason`, and the group goes on at the next one. `request` is the call as it would have been.
   * May tell the error with which the other ranks' calls reject, so that this rank hears of it too where it is not about this one.
   */
  sitOut(sequence: number, collective: Collective, reason: Error, request: Request): SatOut;
  /** Ranks that have not arrived at call `sequence`, as far as can be told now; for a TimeoutError. */
  stragglers(sequence: number): Promise<number[]>;
  /** The ranks for which collective `sequence` waits now, for traces. A backend without this method is not asked. */
  waitingFor?(sequence: number): readonly number[];
  /** A backend without it counts no traffic. */
  readonly traffic?: BackendTraffic | undefined;
  /** Gives up recv or recvAnySource `sequence` with `reason` if no message has met it; false if it is too late for that. */
  withdraw(sequence: number, reason: WebcclError): boolean;
  /** The group is dead: end everything that runs with `cause`, and tell the peers. */
  abort(cause: WebcclError): void;
  /** The group is done and nothing runs: give everything back. */
  dispose(): Promise<void>;
}

/** A method for each collective that a backend has, as c10d's backends have them; a call of another one is an UnsupportedError. */
export type CollectiveMethods = {
  [C in Collective]?: (request: Request & { collective: C }, call: Call) => ReturnType<Backend["run"]>;
};

/** A backend as a user writes it: with `run`, or in its place a method for each collective that it has. */
export type OwnBackend = Backend | (Omit<Backend, "run"> & CollectiveMethods);

/** The memories that a backend is registered for: host arrays, GPUBuffers, and a CUDA device's. */
export const BACKEND_DEVICES = ["cpu", "webgpu", "cuda"] as const;

/** A memory that a backend is registered for: host arrays, GPUBuffers, or a CUDA device's. */
export type BackendDevice = (typeof BACKEND_DEVICES)[number];

/** Several backends of one group, each for the memory of a device. */
export interface BackendsByDevice {
  of(device: BackendDevice): Backend;
}

/** The error of a backend that has no such collective. */
export function unsupported(backend: string, collective: Collective): UnsupportedError {
  return new UnsupportedError(`Backend ${backend} does not support ${collective}`, { collective });
}
