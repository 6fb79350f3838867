/**
 * Backend: who runs the collective?
 *
 * The process group checks arguments, numbers calls, keeps deadlines and hands a {@link Request} to the backend of its
 * group. Write your own as an object with these methods, and pass `backend: (context) => new MyBackend(context)`.
 */
import { UnsupportedError, type WebcclError } from "../errors.ts";
import type { Logger } from "../options.ts";
import type { ReduceOp } from "../reduce-op.ts";
import type { Store } from "../store/store.ts";
import type { Tensor } from "../types.ts";

/** One collective, its arguments checked on this rank and its defaults filled in. Roots and peers are ranks of the group. */
export type Request =
  | { collective: "broadcast"; tensor: Tensor; root: number }
  | { collective: "allReduce"; tensor: Tensor; op: ReduceOp }
  | { collective: "reduce"; tensor: Tensor; root: number; op: ReduceOp }
  | { collective: "allGather"; outputs: readonly Tensor[]; input: Tensor }
  | { collective: "allGatherIntoTensor"; output: Tensor; input: Tensor }
  | { collective: "gather"; outputs: readonly Tensor[] | null; input: Tensor; root: number }
  | { collective: "scatter"; output: Tensor; inputs: readonly Tensor[] | null; root: number }
  | { collective: "reduceScatter"; output: Tensor; inputs: readonly Tensor[]; op: ReduceOp }
  | { collective: "reduceScatterTensor"; output: Tensor; input: Tensor; op: ReduceOp }
  | { collective: "allToAll"; outputs: readonly Tensor[]; inputs: readonly Tensor[] }
  | {
      collective: "allToAllSingle";
      output: Tensor;
      input: Tensor;
      outputSplits: readonly number[];
      inputSplits: readonly number[];
    }
  | { collective: "barrier" }
  | { collective: "newGroup"; ranks: readonly number[] }
  | ObjectRequest
  | { collective: "scan"; tensor: Tensor; op: ReduceOp }
  | { collective: "exscan"; tensor: Tensor; op: ReduceOp }
  | { collective: "send"; tensor: Tensor; peer: number; tag: number }
  | { collective: "recv"; tensor: Tensor; peer: number; tag: number }
  | { collective: "recvAnySource"; tensor: Tensor; tag: number };

/**
 * A collective of byte strings whose lengths only their senders know: `outgoing[r]` goes to rank r (null: nothing), and
 * what each of `sources` sends is put at its index of `received`.
 */
export interface ObjectRequest {
  collective: "allGatherObject" | "broadcastObject" | "gatherObject" | "scatterObject" | "split";
  outgoing: readonly (Uint8Array | null)[];
  sources: readonly number[];
  received: (Uint8Array | null)[];
  /** Null where every rank is a source. */
  root: number | null;
}

/** A request to send or receive one message; all others are calls of the whole group. */
export type MessageRequest = Extract<Request, { collective: "send" | "recv" | "recvAnySource" }>;

/** The name of a collective, as in a {@link Request}, a message and a trace. */
export type Collective = Request["collective"];

/** Every collective, in the order of its code in a frame's fingerprint (docs/protocol.md). */
export const COLLECTIVES = [
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
  "barrier",
  "newGroup",
  "scan",
  "exscan",
  "send",
  "recv",
  "recvAnySource",
  "allGatherObject",
  "broadcastObject",
  "gatherObject",
  "scatterObject",
  "split",
] as const satisfies readonly Collective[];

/** How this one call is to be run. */
export interface Call {
  /** The call's number in its group, from 1; point-to-point calls count apart from collectives. */
  readonly sequence: number;
  /** The algorithm the caller named, or undefined. */
  readonly algorithm: string | undefined;
  /** Bits must not depend on anything but the inputs and the rank order. */
  readonly deterministic: boolean;
  /** When the call was made, as `performance.now()`. */
  readonly started: number;
  /** Set by the backend when it may have written the caller's tensors; told in an error's `tensors`. */
  overwritten: boolean;
}

/** What a backend is made with. */
export interface BackendContext {
  readonly rank: number;
  readonly size: number;
  readonly groupName: string;
  /** The group's own key space. */
  readonly store: Store;
  readonly logger: Logger;
  /** To be called when the backend learns that the group cannot go on. */
  onDead(cause: WebcclError): void;
}

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
   * call has not happened, and its sequence goes to the next one.
   */
  run(request: Request, call: Call): Promise<number | undefined> | undefined;
  /** Ranks that have not arrived at call `sequence`, as far as can be told now; for a TimeoutError. */
  stragglers(sequence: number): Promise<number[]>;
  /** Gives up recv or recvAnySource `sequence` with `reason` if no message has met it; false if it is too late for that. */
  withdraw(sequence: number, reason: WebcclError): boolean;
  /** The group is dead: end everything that runs with `cause`, and tell the peers. */
  abort(cause: WebcclError): void;
  /** The group is done and nothing runs: give everything back. */
  dispose(): Promise<void>;
}

/** All tensors of a request. */
export function tensorsOf(request: Request): Tensor[] {
  const tensors: Tensor[] = [];
  if ("tensor" in request) tensors.push(request.tensor);
  if ("input" in request) tensors.push(request.input);
  if ("output" in request) tensors.push(request.output);
  if ("inputs" in request) tensors.push(...(request.inputs ?? []));
  if ("outputs" in request) tensors.push(...(request.outputs ?? []));
  return tensors;
}

/** Is it one message? */
export function isMessage(request: Request): request is MessageRequest {
  const { collective } = request;
  return collective === "send" || collective === "recv" || collective === "recvAnySource";
}

/** The error of a backend that has no such collective. */
export function unsupported(backend: string, collective: Collective): UnsupportedError {
  return new UnsupportedError(`Backend ${backend} does not support ${collective}`, { collective });
}
