/** Request: what one call asks for, from its checked arguments to the backend that runs it. */
import type { ReduceOp } from "./reduce-op.ts";
import type { TensorView } from "./tensor/view.ts";
import type { Tensor } from "./types.ts";

/** How a call reduces. */
interface Accumulating {
  /** Sums of floats shorter than f32 travel and are added in f32, and are rounded once, at the end. */
  accumulate?: "f32" | undefined;
}

/** One collective, its arguments checked on this rank and its defaults filled in. Roots and peers are ranks of the group. */
export type Request =
  | { collective: "broadcast"; tensor: TensorView; root: number }
  | ({ collective: "allReduce"; tensor: TensorView; op: ReduceOp } & Accumulating)
  | ({ collective: "reduce"; tensor: TensorView; root: number; op: ReduceOp } & Accumulating)
  | { collective: "allGather"; outputs: readonly TensorView[]; input: TensorView }
  | { collective: "allGatherIntoTensor"; output: TensorView; input: TensorView }
  | { collective: "gather"; outputs: readonly TensorView[] | null; input: TensorView; root: number }
  | { collective: "scatter"; output: TensorView; inputs: readonly TensorView[] | null; root: number }
  | ({ collective: "reduceScatter"; output: TensorView; inputs: readonly TensorView[]; op: ReduceOp } & Accumulating)
  | ({ collective: "reduceScatterTensor"; output: TensorView; input: TensorView; op: ReduceOp } & Accumulating)
  | { collective: "allToAll"; outputs: readonly TensorView[]; inputs: readonly TensorView[] }
  | {
      collective: "allToAllSingle";
      output: TensorView;
      input: TensorView;
      outputSplits: readonly number[];
      inputSplits: readonly number[];
    }
  | { collective: "barrier" }
  | { collective: "newGroup"; ranks: readonly number[]; name: string; backend: string }
  | { collective: "registerBackend" | "setDefaultBackend"; device: string }
  | ObjectRequest
  | ({ collective: "allReduceCoalesced"; tensors: readonly TensorView[]; op: ReduceOp } & Accumulating)
  | { collective: "broadcastCoalesced"; tensors: readonly TensorView[]; root: number }
  | { collective: "allGatherIntoTensorCoalesced"; outputs: readonly TensorView[]; inputs: readonly TensorView[] }
  | ({
      collective: "reduceScatterTensorCoalesced";
      outputs: readonly TensorView[];
      inputs: readonly TensorView[];
      op: ReduceOp;
    } & Accumulating)
  | ({ collective: "scan"; tensor: TensorView; op: ReduceOp } & Accumulating)
  | ({ collective: "exscan"; tensor: TensorView; op: ReduceOp } & Accumulating)
  | { collective: "send"; tensor: TensorView; peer: number; tag: number }
  | { collective: "recv"; tensor: TensorView; peer: number; tag: number }
  | { collective: "recvAnySource"; tensor: TensorView; tag: number };

/**
 * A collective of byte strings whose lengths only their senders know: `outgoing[r]` goes to rank r (null: nothing), and
 * what each of `sources` sends is put at its index of `received`.
 */
export interface ObjectRequest {
  /** The call's name. */
  collective: "allGatherObject" | "broadcastObject" | "gatherObject" | "scatterObject" | "split";
  /** The bytes for each rank; null: nothing. */
  outgoing: readonly (Uint8Array | null)[];
  /** The ranks that send bytes to this one. */
  sources: readonly number[];
  /** Where the bytes of each source are put, at its index of `sources`. */
  received: (Uint8Array | null)[];
  /** Null where every rank is a source. */
  root: number | null;
}

/** A request to send or receive one message; all others are calls of the whole group. */
export type MessageRequest = Extract<Request, { collective: "send" | "recv" | "recvAnySource" }>;

/** All tensors of a request. */
export function tensorsOf(request: Request): TensorView[] {
  const tensors: TensorView[] = [];
  if ("tensor" in request) tensors.push(request.tensor);
  if ("tensors" in request) tensors.push(...request.tensors);
  if ("input" in request) tensors.push(request.input);
  if ("output" in request) tensors.push(request.output);
  if ("inputs" in request) tensors.push(...(request.inputs ?? []));
  if ("outputs" in request) tensors.push(...(request.outputs ?? []));
  return tensors;
}

/** The caller's tensors that have a call's result on this rank; its own, where the call writes none of them. */
export function resultsOf(request: Request): Tensor[] {
  let views: readonly TensorView[] | null = [];
  if ("tensor" in request) views = [request.tensor];
  else if ("tensors" in request) views = request.tensors;
  else if ("output" in request) views = [request.output];
  else if ("outputs" in request) views = request.outputs;
  return (views ?? []).map(({ tensor }) => tensor);
}

/** Is it one message? */
export function isMessage(request: Request): request is MessageRequest {
  return isMessageName(request.collective);
}

/** Is it the name of a call for one message? */
export function isMessageName(name: string): boolean {
  return name === "send" || name === "recv" || name === "recvAnySource";
}
