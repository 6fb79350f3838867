/**
 * Arguments of each call, checked on this rank and made into a prepared call. What each argument must be stands at the method of the same name in process-group.ts; each function here throws TypeError or RangeError for one
 * that is not, and then nothing has happened.
 */

import { TimeoutError } from "../errors.ts";
import type {
  AllToAllSingleOptions,
  MonitoredBarrierOptions,
  PointToPointOptions,
  ReduceOptions,
  RootedReduceOptions,
  RootOptions,
} from "../options.ts";
import { accumulationOf, type ReduceOp as Op, ReduceOp, resolveReduceOp } from "../reduce-op.ts";
import { describeArgument } from "../tensor/describe.ts";
import { partsOf, type TensorView } from "../tensor/view.ts";
import type { Tensor } from "../types.ts";
import {
  type Caller,
  checkCount,
  checkDisjoint,
  checkDtype,
  checkList,
  checkPeer,
  checkRank,
  checkRootList,
  checkSplits,
  checkTag,
  rootOf,
} from "./checks.ts";
import type { ChildPlan, ChildSettings } from "./child/child-group.ts";
import type { PreparedCall } from "./prepared-call.ts";

const nothing = () => undefined;

/** A receive's value: the rank that sent. */
const sourceOf = (source: number | undefined) => source!;

/** Arguments of `broadcast`. */
export function broadcast(caller: Caller, argument: Tensor, options: RootOptions): PreparedCall<void> {
  const tensor = describeArgument(argument, "tensor");
  const root = rootOf(caller, options);
  const isRoot = root === caller.rank;
  return {
    request: { collective: "broadcast", tensor, root },
    read: isRoot ? [tensor] : [],
    written: isRoot ? [] : [tensor],
    value: nothing,
  };
}

/** Arguments of `allReduce`. */
export function allReduce(argument: Tensor, options: ReduceOptions): PreparedCall<void> {
  return foldInPlace("allReduce", argument, options);
}

/** Arguments of `reduce`. */
export function reduce(caller: Caller, argument: Tensor, options: RootedReduceOptions): PreparedCall<void> {
  const root = rootOf(caller, options);
  const isRoot = root === caller.rank;
  const tensor = describeArgument(argument, "tensor");
  const op = opOf(options, tensor);
  return {
    request: { collective: "reduce", tensor, root, op, ...inF32(options, op, tensor) },
    read: isRoot ? [] : [tensor],
    written: isRoot ? [tensor] : [],
    value: nothing,
  };
}

/** Arguments of `allGather`. */
export function allGather(caller: Caller, list: readonly Tensor[], argument: Tensor): PreparedCall<void> {
  const input = describeArgument(argument, "input");
  const outputs = checkList(list, caller.size, input.dtype, "outputs");
  checkOwn(caller, input, "input", outputs, "outputs");
  checkDisjoint([input], outputs, caller.rank);
  return { request: { collective: "allGather", outputs, input }, read: [input], written: outputs, value: nothing };
}

/** Arguments of `allGatherIntoTensor`. */
export function allGatherIntoTensor(caller: Caller, whole: Tensor, argument: Tensor): PreparedCall<void> {
  const input = describeArgument(argument, "input");
  const output = describeArgument(whole, "output");
  const { dtype, count } = input;
  checkDtype(output.dtype, dtype, "output");
  checkCount(output.count, count * caller.size, "output", `${caller.size} ranks × ${count} elements`);
  checkDisjoint([input], equalParts(caller, output), caller.rank);
  return {
    request: { collective: "allGatherIntoTensor", output, input },
    read: [input],
    written: [output],
    value: nothing,
  };
}

/** Arguments of `gather`. */
export function gather(
  caller: Caller,
  list: readonly Tensor[] | null,
  argument: Tensor,
  options: RootOptions,
): PreparedCall<void> {
  const input = describeArgument(argument, "input");
  const root = rootOf(caller, options);
  checkRootList(caller, list, root, "outputs");
  const outputs = list && checkList(list, caller.size, input.dtype, "outputs");
  if (outputs) {
    checkOwn(caller, input, "input", outputs, "outputs");
    checkDisjoint([input], outputs, caller.rank);
  }
  return {
    request: { collective: "gather", outputs, input, root },
    read: [input],
    written: outputs ?? [],
    value: nothing,
  };
}

/** Arguments of `scatter`. */
export function scatter(
  caller: Caller,
  argument: Tensor,
  list: readonly Tensor[] | null,
  options: RootOptions,
): PreparedCall<void> {
  const output = describeArgument(argument, "output");
  const root = rootOf(caller, options);
  checkRootList(caller, list, root, "inputs");
  const inputs = list && checkList(list, caller.size, output.dtype, "inputs");
  if (inputs) {
    checkOwn(caller, output, "output", inputs, "inputs");
    checkDisjoint(inputs, [output], caller.rank);
  }
  return {
    request: { collective: "scatter", output, inputs, root },
    read: inputs ?? [],
    written: [output],
    value: nothing,
  };
}

/** Arguments of `reduceScatter`. */
export function reduceScatter(
  caller: Caller,
  argument: Tensor,
  list: readonly Tensor[],
  options: ReduceOptions,
): PreparedCall<void> {
  const output = describeArgument(argument, "output");
  const op = opOf(options, output);
  const inputs = checkList(list, caller.size, output.dtype, "inputs");
  checkOwn(caller, output, "output", inputs, "inputs");
  checkDisjoint(inputs, [output], caller.rank);
  return {
    request: { collective: "reduceScatter", output, inputs, op, ...inF32(options, op, output) },
    read: inputs,
    written: [output],
    value: nothing,
  };
}

/** Arguments of `reduceScatterTensor`. */
export function reduceScatterTensor(
  caller: Caller,
  argument: Tensor,
  whole: Tensor,
  options: ReduceOptions,
): PreparedCall<void> {
  const output = describeArgument(argument, "output");
  const op = opOf(options, output);
  const input = describeArgument(whole, "input");
  checkDtype(input.dtype, output.dtype, "input");
  checkCount(input.count, output.count * caller.size, "input", `${caller.size} ranks × ${output.count} elements`);
  checkDisjoint(equalParts(caller, input), [output], caller.rank);
  return {
    request: { collective: "reduceScatterTensor", output, input, op, ...inF32(options, op, output) },
    read: [input],
    written: [output],
    value: nothing,
  };
}

/** Arguments of `allToAll`. */
export function allToAll(
  caller: Caller,
  outputList: readonly Tensor[],
  inputList: readonly Tensor[],
): PreparedCall<void> {
  const { rank, size } = caller;
  const { dtype } = checkFirst(inputList, size, "inputs");
  const inputs = checkList(inputList, size, dtype, "inputs");
  const outputs = checkList(outputList, size, dtype, "outputs");
  checkCount(outputs[rank]!.count, inputs[rank]!.count, `outputs[${rank}]`, `inputs[${rank}]`);
  checkDisjoint(inputs, outputs, -1);
  return { request: { collective: "allToAll", outputs, inputs }, read: inputs, written: outputs, value: nothing };
}

/** Arguments of `allToAllSingle`. */
export function allToAllSingle(
  caller: Caller,
  outputTensor: Tensor,
  inputTensor: Tensor,
  options: AllToAllSingleOptions,
): PreparedCall<void> {
  const { rank, size } = caller;
  const input = describeArgument(inputTensor, "input");
  const output = describeArgument(outputTensor, "output");
  checkDtype(output.dtype, input.dtype, "output");
  const inputSplits = checkSplits(options.inputSplits, input.count, size, "input");
  const outputSplits = checkSplits(options.outputSplits, output.count, size, "output");
  checkCount(outputSplits[rank]!, inputSplits[rank]!, `outputSplits[${rank}]`, `inputSplits[${rank}]`);
  checkDisjoint([input], [output], -1);
  return {
    request: { collective: "allToAllSingle", output, input, outputSplits, inputSplits },
    read: [input],
    written: [output],
    value: nothing,
  };
}

/** Arguments of `scan`. */
export function scan(argument: Tensor, options: ReduceOptions): PreparedCall<void> {
  return foldInPlace("scan", argument, options);
}

/** Arguments of `exscan`. */
export function exscan(argument: Tensor, options: ReduceOptions): PreparedCall<void> {
  return foldInPlace("exscan", argument, options);
}

/** Arguments of `send`. */
export function send(caller: Caller, argument: Tensor, dst: number, options: PointToPointOptions): PreparedCall<void> {
  const tensor = describeArgument(argument, "tensor");
  const peer = checkPeer(dst, caller.rank, caller.size, "dst");
  const tag = checkTag(options.tag ?? 0);
  return { request: { collective: "send", tensor, peer, tag }, read: [tensor], value: nothing };
}

/** Arguments of `recv`. */
export function recv(
  caller: Caller,
  argument: Tensor,
  src: number,
  options: PointToPointOptions,
): PreparedCall<number> {
  const tensor = describeArgument(argument, "tensor");
  const peer = checkPeer(src, caller.rank, caller.size, "src");
  const tag = checkTag(options.tag ?? 0);
  return { request: { collective: "recv", tensor, peer, tag }, written: [tensor], value: sourceOf };
}

/** Arguments of `recvAnySource`. */
export function recvAnySource(argument: Tensor, options: PointToPointOptions): PreparedCall<number> {
  const tensor = describeArgument(argument, "tensor");
  const tag = checkTag(options.tag ?? 0);
  return { request: { collective: "recvAnySource", tensor, tag }, written: [tensor], value: sourceOf };
}

/** Arguments of `barrier`. */
export function barrier(): PreparedCall<void> {
  return { request: { collective: "barrier" }, value: nothing };
}

/** Arguments of `monitoredBarrier`: a barrier whose TimeoutError names the first missing rank alone, without `waitAllRanks`. */
export function monitoredBarrier({ waitAllRanks = false }: MonitoredBarrierOptions): PreparedCall<void> {
  return { ...barrier(), ...(waitAllRanks ? {} : { failure: withFirstMissing }) };
}

function withFirstMissing(error: Error): Error {
  if (!(error instanceof TimeoutError) || error.missingRanks.length < 2) return error;
  const [first = 0] = error.missingRanks;
  return new TimeoutError(`${error.message} (the first of them: rank ${first})`, {
    ...error.details,
    missingRanks: [first],
  });
}

/** Arguments of `newGroup`; the value is what they were at the call. */
export function newGroup(caller: Caller, list: readonly number[], settings: ChildSettings): PreparedCall<ChildPlan> {
  if (!Array.isArray(list) || list.length === 0) {
    throw new RangeError("newGroup: ranks must be a list with at least one rank");
  }
  const ranks: readonly number[] = [...list];
  for (const rank of ranks) checkRank(rank, caller.size, "newGroup: a rank");
  const twice = ranks.find((rank, i) => ranks.indexOf(rank) !== i);
  if (twice !== undefined) throw new RangeError(`newGroup: rank ${twice} is given twice`);
  return {
    request: { collective: "newGroup", ranks, name: settings.name, backend: settings.kind },
    value: () => ({ ...settings, ranks }),
  };
}

function opOf({ op = ReduceOp.SUM }: ReduceOptions, { dtype }: TensorView): Op {
  return resolveReduceOp(op, dtype);
}

function inF32({ accumulate }: ReduceOptions, op: Op, { dtype }: TensorView): { accumulate?: "f32" } {
  return accumulationOf(accumulate, op, [dtype]);
}

function foldInPlace(
  collective: "allReduce" | "scan" | "exscan",
  argument: Tensor,
  options: ReduceOptions,
): PreparedCall<void> {
  const tensor = describeArgument(argument, "tensor");
  const op = opOf(options, tensor);
  return { request: { collective, tensor, op, ...inF32(options, op, tensor) }, written: [tensor], value: nothing };
}

/** This rank's own entry of `list` is as long as `view`, which goes there or comes from there. */
function checkOwn(
  { rank }: Caller,
  view: TensorView,
  name: string,
  list: readonly TensorView[],
  listName: string,
): void {
  checkCount(view.count, list[rank]!.count, name, `${listName}[${rank}], this rank's own,`);
}

function equalParts({ size }: Caller, view: TensorView): TensorView[] {
  return partsOf(view, new Array<number>(size).fill(view.count / size));
}

function checkFirst(tensors: readonly Tensor[], size: number, name: string): TensorView {
  if (!Array.isArray(tensors) || tensors.length === 0) throw new TypeError(`${name} must be a list of ${size} tensors`);
  return describeArgument(tensors[0], `${name}[0]`);
}
