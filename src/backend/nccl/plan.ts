/**
 * The nccl backend's plans: each request as calls of NCCL's. What NCCL has no call for is made of a group of those it has:
 *
 *   allGather (list), uneven      a broadcast of each rank's part
 *   reduceScatter (list), uneven  a reduce of each rank's part
 *   gather, scatter, allToAll     sends and receives
 *
 * What it cannot do at all runs on the host path.
 */

import { UnsupportedError } from "../../errors.ts";
import type { ReduceOp } from "../../reduce-op.ts";
import { type Request, tensorsOf } from "../../request.ts";
import { partsOf, type TensorView } from "../../tensor/view.ts";
import type { Collective } from "../../types.ts";
import type { Fingerprint } from "../../wire/frame.ts";
import { type CallFacts, factsOfLists, fingerprintOf } from "../direct/call-facts.ts";
import { isNcclType, type NcclAbilities, type NcclOp } from "./library.ts";
import type { OnDevice, StagedCall } from "./staging.ts";

/** Requests that NCCL can run. */
const NCCL_COLLECTIVES = [
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
  "allReduceCoalesced",
  "broadcastCoalesced",
  "allGatherIntoTensorCoalesced",
  "reduceScatterTensorCoalesced",
] as const;

/** One of them. */
export type NcclRequest = RequestOf<(typeof NCCL_COLLECTIVES)[number]>;

type RequestOf<C extends Collective> = Extract<Request, { collective: C }>;

/** What stands for an algorithm in the fingerprint of a call on NCCL: where its tensors are. */
export const ON_DEVICE = "nccl on the device";
const ON_HOST = "nccl on the host";

/** Calls that do not run on NCCL, or not as elsewhere. */
const NCCL_NOTES: readonly string[] = [
  "band, bor, bxor, custom operations, i16 and u16 reductions, scan, exscan, messages of host arrays, barrier and objects run on the host path",
  "reductions of f8e4m3 and f8e5m2 run on the host path before NCCL 2.24, and below compute capability 9.0",
  "a call that names an algorithm, and GPUBuffers, run on the host path",
  "min and max of floats are NCCL's: where a number meets a NaN, either may win; AVG and PREMUL_SUM round the factors of 8- and 16-bit floats to the dtype, and f8e5m2 saturates",
  "all ranks of a call pass host arrays, or all pass DeviceBuffers",
];

const CLUSTER_NOTES: readonly string[] = [
  "allReduce of sums, products, min, max, avg and premul-sum runs on NCCL among the ranks with a cudaDevice, and through the hub to the others",
  "everything else, and deterministic or custom operations, runs on the host path",
];

/** What `info()` says of a group that is on NCCL as a whole, or of which some ranks are, or none. */
export function ncclNotes(whole: boolean, inPart: boolean): readonly string[] {
  if (whole) return NCCL_NOTES;
  return inPart ? CLUSTER_NOTES : [];
}

/** A request ready to run. */
export interface NcclPlan {
  readonly fingerprint: Fingerprint;
  /** Does this rank's call write tensors of the caller? */
  readonly writes: boolean;
  /** Bytes that each peer must expect of this rank, and this rank of it, where only the two know; else null. */
  readonly pairs: { readonly sent: Lengths; readonly received: Lengths } | null;
  run(call: StagedCall): void;
}

/** By peer; null where nothing is sent, not even nothing. This rank's own is null. */
type Lengths = readonly (number | null)[];

/** Where a plan is made. */
export interface NcclScope {
  readonly rank: number;
  readonly size: number;
  readonly segmentBytes: number;
}

/**
 * Can NCCL, whose abilities are those of all ranks, run this request? The answer is the same on every rank whose call has
 * the same fingerprint.
 */
export function runsOnNccl(request: Request, abilities: NcclAbilities): request is NcclRequest {
  if (!(NCCL_COLLECTIVES as readonly string[]).includes(request.collective)) return false;
  const tensors = tensorsOf(request);
  if (tensors.some(({ memory }) => memory === "gpu")) return false;
  if (!("op" in request)) return true;
  if (request.op.name === "premul-sum" && !abilities.premulSum) return false;
  return ncclOp(request.op) !== null && tensors.every(({ dtype }) => isNcclType(dtype, abilities));
}

/** @throws TypeError if host arrays and DeviceBuffers are given in one call. */
export function planNccl(request: NcclRequest, scope: NcclScope): NcclPlan {
  const { memory } = checkOneMemory(tensorsOf(request));
  const { facts, writes = true, pairs = null, run } = stepsOf(request, scope);
  const { collective } = request;
  const algorithm = memory === "cuda" ? ON_DEVICE : ON_HOST;
  return { fingerprint: fingerprintOf(collective, algorithm, facts, scope.segmentBytes), writes, pairs, run };
}

function checkOneMemory(tensors: readonly TensorView[]): { memory: TensorView["memory"] | undefined } {
  const onDevice = tensors.filter(({ memory }) => memory === "cuda").length;
  if (onDevice > 0 && onDevice < tensors.length) {
    throw new TypeError("the tensors of one call must be in one memory: all host arrays, or all DeviceBuffers");
  }
  return { memory: tensors[0]?.memory };
}

/** A plan without its fingerprint. A call writes the caller's tensors, unless it says otherwise. */
interface NcclSteps extends Partial<Pick<NcclPlan, "writes" | "pairs">>, Pick<NcclPlan, "run"> {
  facts: CallFacts;
}

function stepsOf(request: NcclRequest, scope: NcclScope): NcclSteps {
  switch (request.collective) {
    case "allReduce":
    case "broadcast":
    case "reduce":
      return inPlace(request, scope);
    case "allGatherIntoTensor": {
      const { input, output } = request;
      return {
        facts: equalShares(input, scope),
        run: (call) => {
          if (input.count > 0) call.communicator.allGather(call.output(output), call.input(input));
        },
      };
    }
    case "reduceScatterTensor": {
      const { input, output, op } = request;
      return {
        facts: { ...equalShares(output, scope), op },
        run: (call) => {
          if (output.count > 0) call.communicator.reduceScatter(call.output(output), call.input(input), opFor(op));
        },
      };
    }
    case "allGather":
      return allGather(request, scope);
    case "reduceScatter":
      return reduceScatter(request, scope);
    case "gather":
      return gather(request, scope);
    case "scatter":
      return scatter(request, scope);
    case "allToAll":
      return allToAll(request.outputs, request.inputs, scope);
    case "allToAllSingle":
      return allToAll(
        partsOf(request.output, request.outputSplits),
        partsOf(request.input, request.inputSplits),
        scope,
      );
    case "allReduceCoalesced":
    case "broadcastCoalesced":
    case "allGatherIntoTensorCoalesced":
    case "reduceScatterTensorCoalesced":
      return coalesced(request, scope);
  }
}

function coalesced(
  request: RequestOf<
    "allReduceCoalesced" | "broadcastCoalesced" | "allGatherIntoTensorCoalesced" | "reduceScatterTensorCoalesced"
  >,
  scope: NcclScope,
): NcclSteps {
  switch (request.collective) {
    case "allReduceCoalesced": {
      const { tensors, op } = request;
      const singles = tensors.map((tensor) => stepsOf({ collective: "allReduce", tensor, op }, scope));
      return together(singles, { ...factsOfLists(tensors), op });
    }
    case "broadcastCoalesced": {
      const { tensors, root } = request;
      const singles = tensors.map((tensor) => stepsOf({ collective: "broadcast", tensor, root }, scope));
      return together(singles, { ...factsOfLists(tensors), root });
    }
    case "allGatherIntoTensorCoalesced": {
      const { outputs, inputs } = request;
      const singles = outputs.map((output, i) => {
        return stepsOf({ collective: "allGatherIntoTensor", output, input: inputs[i]! }, scope);
      });
      return together(singles, factsOfLists(inputs));
    }
    case "reduceScatterTensorCoalesced": {
      const { outputs, inputs, op } = request;
      const singles = outputs.map((output, i) => {
        return stepsOf({ collective: "reduceScatterTensor", output, input: inputs[i]!, op }, scope);
      });
      return together(singles, { ...factsOfLists(outputs), op });
    }
  }
}

/** Calls of NCCL, one after the other on its stream, as one of this library's. */
function together(singles: readonly NcclSteps[], facts: CallFacts): NcclSteps {
  const dtypes = singles.map((single) => single.facts.dtype).join();
  return {
    facts: { ...facts, detail: `${dtypes} ${facts.detail}` },
    run: (call) => {
      for (const single of singles) single.run(call);
    },
  };
}

function inPlace(request: RequestOf<"allReduce" | "broadcast" | "reduce">, { rank }: NcclScope): NcclSteps {
  const { tensor } = request;
  const { dtype, count } = tensor;
  if (request.collective === "allReduce") {
    const { op } = request;
    return {
      facts: { dtype, count, op },
      run: (call) =>
        call.inPlace(tensor, { reads: true, writes: true }, (part) =>
          call.communicator.allReduce(part, part, opFor(op)),
        ),
    };
  }
  const { root } = request;
  const isRoot = rank === root;
  if (request.collective === "broadcast") {
    return {
      facts: { dtype, count, root },
      writes: !isRoot,
      run: (call) =>
        call.inPlace(tensor, { reads: isRoot, writes: !isRoot }, (part) =>
          call.communicator.broadcast(part, part, root),
        ),
    };
  }
  const { op } = request;
  return {
    facts: { dtype, count, root, op },
    writes: isRoot,
    run: (call) =>
      call.inPlace(tensor, { reads: true, writes: isRoot }, (part) =>
        call.communicator.reduce(isRoot ? part : null, part, root, opFor(op)),
      ),
  };
}

function allGather({ input, outputs }: RequestOf<"allGather">, { rank }: NcclScope): NcclSteps {
  return {
    facts: factsOfLists(outputs),
    run: (call) => {
      const own = call.input(input);
      const parts = outputs.map((output) => call.output(output));
      grouped(call, parts, (part, r) => call.communicator.broadcast(part, r === rank ? own : part, r));
    },
  };
}

function reduceScatter({ inputs, output, op }: RequestOf<"reduceScatter">, { rank }: NcclScope): NcclSteps {
  return {
    facts: { ...factsOfLists(inputs), op },
    run: (call) => {
      const own = call.output(output);
      const parts = inputs.map((input) => call.input(input));
      grouped(call, parts, (part, r) => call.communicator.reduce(r === rank ? own : null, part, r, opFor(op)));
    },
  };
}

function gather({ input, outputs, root }: RequestOf<"gather">, { rank, size }: NcclScope): NcclSteps {
  return {
    facts: { dtype: input.dtype, root },
    writes: outputs !== null,
    pairs: outputs
      ? { sent: lengths([], size), received: lengths(outputs, size, rank) }
      : { sent: lengths(only(root, input, size), size), received: lengths([], size) },
    run: (call) => exchange(call, rank, outputs, outputs ? null : only(root, input, size), input),
  };
}

function scatter({ output, inputs, root }: RequestOf<"scatter">, { rank, size }: NcclScope): NcclSteps {
  const outputs = only(inputs ? rank : root, output, size);
  return {
    facts: { dtype: output.dtype, root },
    pairs: inputs
      ? { sent: lengths(inputs, size, rank), received: lengths([], size) }
      : { sent: lengths([], size), received: lengths(outputs, size) },
    run: (call) => exchange(call, rank, outputs, inputs, inputs?.[rank] ?? null),
  };
}

function allToAll(outputs: readonly TensorView[], inputs: readonly TensorView[], { rank, size }: NcclScope): NcclSteps {
  return {
    facts: { dtype: outputs[0]?.dtype },
    pairs: { sent: lengths(inputs, size, rank), received: lengths(outputs, size, rank) },
    run: (call) => exchange(call, rank, outputs, inputs, inputs[rank] ?? null),
  };
}

/** Sends `inputs[r]` to and receives `outputs[r]` from each other rank r, where there is one, and copies this rank's `own`. */
function exchange(
  call: StagedCall,
  rank: number,
  outputs: readonly (TensorView | null)[] | null,
  inputs: readonly (TensorView | null)[] | null,
  own: TensorView | null,
): void {
  const others = (tensors: readonly (TensorView | null)[] | null, place: (tensor: TensorView) => OnDevice) =>
    (tensors ?? []).flatMap((tensor, r) =>
      tensor && r !== rank && tensor.byteLength > 0 ? [{ r, part: place(tensor) }] : [],
    );
  const sends = others(inputs, (tensor) => call.input(tensor));
  const receives = others(outputs, (tensor) => call.output(tensor));
  const ownOutput = outputs?.[rank];
  if (own && ownOutput && own.byteLength > 0) call.copyOwn(ownOutput, own);
  if (sends.length + receives.length === 0) return;
  call.communicator.group(() => {
    for (const { r, part } of sends) call.communicator.send(part, r);
    for (const { r, part } of receives) call.communicator.recv(part, r);
  });
}

/** One call for each part that is not empty, all launched together. */
function grouped(call: StagedCall, parts: readonly OnDevice[], launch: (part: OnDevice, r: number) => void): void {
  call.communicator.group(() => {
    parts.forEach((part, r) => {
      if (part.count > 0) launch(part, r);
    });
  });
}

/** The operation as NCCL knows it, or null. */
function ncclOp(op: ReduceOp): NcclOp | null {
  switch (op.name) {
    case "sum":
    case "product":
    case "min":
    case "max":
    case "avg":
      return op.name;
    case "premul-sum":
      return { factor: op.factor };
    default:
      return null;
  }
}

/** The operation of a request that {@link runsOnNccl}. */
function opFor(op: ReduceOp): NcclOp {
  const known = ncclOp(op);
  if (known === null) throw new UnsupportedError(`NCCL has no operation ${op.name}`);
  return known;
}

/** Of parts that are all as long as `share`. */
function equalShares(share: TensorView, { size }: NcclScope): CallFacts {
  return factsOfLists(new Array<TensorView>(size).fill(share));
}

function only(rank: number, tensor: TensorView, size: number): (TensorView | null)[] {
  return Array.from({ length: size }, (_, r) => (r === rank ? tensor : null));
}

/** Bytes by peer; null where there is no tensor, and for rank `own`. */
function lengths(tensors: readonly (TensorView | null)[], size: number, own = -1): Lengths {
  return Array.from({ length: size }, (_, r) => (r === own ? null : (tensors[r]?.byteLength ?? null)));
}
