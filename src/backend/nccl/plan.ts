/**
 * The nccl backend's plans: each request as calls of NCCL's. What NCCL has no call for is made of a group of those it has:
 *
 *   allGather (list), uneven      a broadcast of each rank's part
 *   reduceScatter (list), uneven  a reduce of each rank's part
 *   gather, scatter, allToAll     sends and receives
 *
 * What it cannot do at all runs on the host path.
 */

import type { ReduceOp } from "../../reduce-op.ts";
import { type Request, tensorsOf } from "../../request.ts";
import { describeCudaTensor, isCudaTensor } from "../../tensor/cuda.ts";
import { isGpuTensor } from "../../tensor/gpu.ts";
import { describeHostTensor } from "../../tensor/host.ts";
import { bytesPerElement, type DataType, type Tensor } from "../../types.ts";
import type { Fingerprint } from "../../wire/frame.ts";
import { type CollectiveRequest, type Facts, fingerprintOf } from "../direct/plan.ts";
import { isNcclType, type NcclOp } from "./library.ts";
import type { Placed, StagedCall } from "./staging.ts";

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
] as const;

/** One of them. */
export type NcclRequest = Extract<Request, { collective: (typeof NCCL_COLLECTIVES)[number] }>;

/** What stands for an algorithm in the fingerprint of a call on NCCL: where its tensors are. */
export const ON_DEVICE = "nccl on the device";
const ON_HOST = "nccl on the host";

/** Calls that do not run on NCCL, or not as elsewhere. */
const NCCL_NOTES: readonly string[] = [
  "band, bor, bxor, custom operations, i16 and u16 reductions, scan, exscan, messages of host arrays, barrier and objects run on the host path",
  "a call that names an algorithm, and GPUBuffers, run on the host path",
  "min and max of floats are NCCL's: where a number meets a NaN, either may win; AVG and PREMUL_SUM round f16 and bf16 factors to the dtype",
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

/** The first NCCL with PREMUL_SUM. */
const PREMUL_SUM_VERSION = 2_11_00;

/**
 * Can NCCL of this version, which all ranks have, run this request? The answer is the same on every rank whose call has
 * the same fingerprint.
 */
export function runsOnNccl(request: Request, version: number): request is NcclRequest {
  if (!(NCCL_COLLECTIVES as readonly string[]).includes(request.collective)) return false;
  const tensors = tensorsOf(request);
  if (tensors.some(isGpuTensor)) return false;
  if ("op" in request && request.op.name === "premul-sum" && version < PREMUL_SUM_VERSION) return false;
  return !("op" in request) || (ncclOp(request.op) !== null && isNcclType(shape(tensors[0]!).dtype));
}

/** @throws TypeError if host arrays and DeviceBuffers are given in one call. */
export function planNccl(request: NcclRequest, scope: NcclScope): NcclPlan {
  const { rank, size } = scope;
  const tensors = tensorsOf(request);
  const onDevice = tensors.filter(isCudaTensor).length;
  if (onDevice > 0 && onDevice < tensors.length) {
    throw new TypeError("the tensors of one call must be in one memory: all host arrays, or all DeviceBuffers");
  }
  const plan = (facts: Facts, writes: boolean, run: NcclPlan["run"], pairs: NcclPlan["pairs"] = null): NcclPlan => {
    const algorithm = onDevice > 0 ? ON_DEVICE : ON_HOST;
    const fingerprint = fingerprintOf(
      request.collective as CollectiveRequest["collective"],
      algorithm,
      facts,
      scope.segmentBytes,
    );
    return { fingerprint, writes, run, pairs };
  };
  const everyone = Array.from({ length: size }, (_, r) => r);
  const others = everyone.filter((r) => r !== rank);

  switch (request.collective) {
    case "allReduce": {
      const { tensor, op } = request;
      return plan({ ...shape(tensor), op }, true, (call) =>
        call.inPlace(tensor, { reads: true, writes: true }, (part) =>
          call.communicator.allReduce(part, part, ncclOp(op)!),
        ),
      );
    }
    case "broadcast": {
      const { tensor, root } = request;
      const isRoot = rank === root;
      return plan({ ...shape(tensor), root }, !isRoot, (call) =>
        call.inPlace(tensor, { reads: isRoot, writes: !isRoot }, (part) =>
          call.communicator.broadcast(part, part, root),
        ),
      );
    }
    case "reduce": {
      const { tensor, root, op } = request;
      const isRoot = rank === root;
      return plan({ ...shape(tensor), root, op }, isRoot, (call) =>
        call.inPlace(tensor, { reads: true, writes: isRoot }, (part) =>
          call.communicator.reduce(isRoot ? part : null, part, root, ncclOp(op)!),
        ),
      );
    }
    case "allGatherIntoTensor": {
      const { input, output } = request;
      const { dtype, count } = shape(input);
      const facts = { dtype, count: count * size, detail: everyone.map(() => count).join() };
      return plan(facts, true, (call) => {
        if (count > 0) call.communicator.allGather(call.output(output), call.input(input));
      });
    }
    case "reduceScatterTensor": {
      const { input, output, op } = request;
      const { dtype, count } = shape(output);
      const facts = { dtype, op, count: count * size, detail: everyone.map(() => count).join() };
      return plan(facts, true, (call) => {
        if (count > 0) call.communicator.reduceScatter(call.output(output), call.input(input), ncclOp(op)!);
      });
    }
    case "allGather": {
      const { input, outputs } = request;
      return plan(lists(outputs), true, (call) => {
        const own = call.input(input);
        const parts = outputs.map((output) => call.output(output));
        grouped(call, parts, (part, r) => call.communicator.broadcast(part, r === rank ? own : part, r));
      });
    }
    case "reduceScatter": {
      const { inputs, output, op } = request;
      return plan({ ...lists(inputs), op }, true, (call) => {
        const own = call.output(output);
        const parts = inputs.map((input) => call.input(input));
        grouped(call, parts, (part, r) => call.communicator.reduce(r === rank ? own : null, part, r, ncclOp(op)!));
      });
    }
    case "gather": {
      const { input, outputs, root } = request;
      const [sent, received] = [none(size), none(size)];
      if (outputs) for (const r of others) received[r] = bytes(outputs[r]!);
      else sent[root] = bytes(input);
      const facts = { dtype: shape(input).dtype, root };
      return plan(
        facts,
        outputs !== null,
        (call) => exchange(call, rank, outputs, outputs ? null : only(root, input, size), input),
        {
          sent,
          received,
        },
      );
    }
    case "scatter": {
      const { output, inputs, root } = request;
      const [sent, received] = [none(size), none(size)];
      if (inputs) for (const r of others) sent[r] = bytes(inputs[r]!);
      else received[root] = bytes(output);
      const facts = { dtype: shape(output).dtype, root };
      const outputs = inputs ? only(rank, output, size) : only(root, output, size);
      return plan(facts, true, (call) => exchange(call, rank, outputs, inputs, inputs?.[rank] ?? null), {
        sent,
        received,
      });
    }
    case "allToAll":
      return all(request.outputs, request.inputs);
    case "allToAllSingle":
      return all(cut(request.output, request.outputSplits), cut(request.input, request.inputSplits));
  }

  function all(outputs: readonly Tensor[], inputs: readonly Tensor[]): NcclPlan {
    const lengths = (tensors: readonly Tensor[]) => tensors.map((tensor, r) => (r === rank ? null : bytes(tensor)));
    const pairs = { sent: lengths(inputs), received: lengths(outputs) };
    return plan(
      { dtype: shape(outputs[0]!).dtype },
      true,
      (call) => exchange(call, rank, outputs, inputs, inputs[rank]!),
      pairs,
    );
  }
}

/** Sends `inputs[r]` to and receives `outputs[r]` from each other rank r, where there is one, and copies this rank's `own`. */
function exchange(
  call: StagedCall,
  rank: number,
  outputs: readonly (Tensor | null)[] | null,
  inputs: readonly (Tensor | null)[] | null,
  own: Tensor | null,
): void {
  const others = (tensors: readonly (Tensor | null)[] | null, place: (tensor: Tensor) => Placed) =>
    (tensors ?? []).flatMap((tensor, r) =>
      tensor && r !== rank && bytes(tensor) > 0 ? [{ r, part: place(tensor) }] : [],
    );
  const sends = others(inputs, (tensor) => call.input(tensor));
  const receives = others(outputs, (tensor) => call.output(tensor));
  const ownOutput = outputs?.[rank];
  if (own && ownOutput && bytes(own) > 0) call.copyOwn(ownOutput, own);
  if (sends.length + receives.length === 0) return;
  call.communicator.group(() => {
    for (const { r, part } of sends) call.communicator.send(part, r);
    for (const { r, part } of receives) call.communicator.recv(part, r);
  });
}

/** One call for each part that is not empty, all launched together. */
function grouped(call: StagedCall, parts: readonly Placed[], launch: (part: Placed, r: number) => void): void {
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

function shape(tensor: Tensor): { dtype: DataType; count: number } {
  if (isCudaTensor(tensor)) {
    const { dtype, count } = describeCudaTensor(tensor);
    return { dtype, count };
  }
  const { data, dtype } = describeHostTensor(tensor);
  return { dtype, count: data.length };
}

function bytes(tensor: Tensor): number {
  const { dtype, count } = shape(tensor);
  return count * bytesPerElement(dtype);
}

function lists(tensors: readonly Tensor[]): Facts {
  const counts = tensors.map((tensor) => shape(tensor).count);
  return { dtype: shape(tensors[0]!).dtype, count: counts.reduce((a, b) => a + b, 0), detail: counts.join() };
}

/** Elements of one tensor, cut into parts that share its memory. */
function cut(tensor: Tensor, counts: readonly number[]): Tensor[] {
  let start = 0;
  return counts.map((count) => {
    const from = start;
    start += count;
    if (isCudaTensor(tensor)) {
      const { cuda, dtype, byteOffset } = describeCudaTensor(tensor);
      return { cuda, dtype, byteOffset: byteOffset + from * bytesPerElement(dtype), count };
    }
    const { data, dtype } = describeHostTensor(tensor);
    return { data: data.subarray(from, start), dtype };
  });
}

function only(rank: number, tensor: Tensor, size: number): (Tensor | null)[] {
  return Array.from({ length: size }, (_, r) => (r === rank ? tensor : null));
}

/** No peer is told, or heard of, a length. */
function none(size: number): (number | null)[] {
  return new Array<number | null>(size).fill(null);
}
