/**
 * Arguments of each call, checked on this rank and made into a prepared call. What each argument must be stands at the method of the same name in process-group.ts; each function here throws TypeError or RangeError for one
 * that is not, and then nothing has happened.
 */

import type {
  AllToAllSingleOptions,
  PointToPointOptions,
  ReduceOptions,
  RootedReduceOptions,
  RootOptions,
} from "../options.ts";
import { type ReduceOp as Op, ReduceOp, type ReduceOpLike, resolveReduceOp } from "../reduce-op.ts";
import type { ObjectRequest } from "../request.ts";
import type { Tensor } from "../types.ts";
import { decodeControl, encodeControl, OBJECT_LIMITS } from "../wire/control.ts";
import type { PreparedCall } from "./call-runner.ts";
import {
  checkCount,
  checkDisjoint,
  checkDtype,
  checkList,
  checkPeer,
  checkRank,
  checkSplits,
  checkTag,
  shapeOf,
  subTensor,
} from "./checks.ts";

/** Who makes the call: this rank, in a group of so many. */
export interface Caller {
  readonly rank: number;
  readonly size: number;
}

const nothing = () => undefined;

/** Arguments of `broadcast`. */
export function broadcast(caller: Caller, tensor: Tensor, options: RootOptions): PreparedCall<void> {
  shapeOf(tensor, "tensor");
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
export function allReduce(tensor: Tensor, options: ReduceOptions): PreparedCall<void> {
  const op = opOf(options.op, tensor);
  return { request: { collective: "allReduce", tensor, op }, written: [tensor], value: nothing };
}

/** Arguments of `reduce`. */
export function reduce(caller: Caller, tensor: Tensor, options: RootedReduceOptions): PreparedCall<void> {
  const root = rootOf(caller, options);
  const isRoot = root === caller.rank;
  const op = opOf(options.op, tensor);
  return {
    request: { collective: "reduce", tensor, root, op },
    read: isRoot ? [] : [tensor],
    written: isRoot ? [tensor] : [],
    value: nothing,
  };
}

/** Arguments of `allGather`. */
export function allGather(caller: Caller, outputs: readonly Tensor[], input: Tensor): PreparedCall<void> {
  const { dtype, count } = shapeOf(input, "input");
  const shapes = checkList(outputs, caller.size, dtype, "outputs");
  checkCount(count, shapes[caller.rank]!.count, "input", `outputs[${caller.rank}], this rank's own,`);
  checkDisjoint([input], outputs, caller.rank);
  return { request: { collective: "allGather", outputs, input }, read: [input], written: outputs, value: nothing };
}

/** Arguments of `allGatherIntoTensor`. */
export function allGatherIntoTensor(caller: Caller, output: Tensor, input: Tensor): PreparedCall<void> {
  const { dtype, count } = shapeOf(input, "input");
  const out = shapeOf(output, "output");
  checkDtype(out.dtype, dtype, "output");
  checkCount(out.count, count * caller.size, "output", `${caller.size} ranks × ${count} elements`);
  const parts = equalParts(caller, output, count);
  checkDisjoint([input], parts, caller.rank);
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
  outputs: readonly Tensor[] | null,
  input: Tensor,
  options: RootOptions,
): PreparedCall<void> {
  const { dtype, count } = shapeOf(input, "input");
  const root = rootOf(caller, options);
  checkRootList(caller, outputs, root, "outputs");
  if (outputs) {
    const shapes = checkList(outputs, caller.size, dtype, "outputs");
    checkCount(count, shapes[caller.rank]!.count, "input", `outputs[${caller.rank}], this rank's own,`);
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
  output: Tensor,
  inputs: readonly Tensor[] | null,
  options: RootOptions,
): PreparedCall<void> {
  const { dtype, count } = shapeOf(output, "output");
  const root = rootOf(caller, options);
  checkRootList(caller, inputs, root, "inputs");
  if (inputs) {
    const shapes = checkList(inputs, caller.size, dtype, "inputs");
    checkCount(count, shapes[caller.rank]!.count, "output", `inputs[${caller.rank}], this rank's own,`);
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
  output: Tensor,
  inputs: readonly Tensor[],
  options: ReduceOptions,
): PreparedCall<void> {
  const op = opOf(options.op, output, "output");
  const { dtype, count } = shapeOf(output, "output");
  const shapes = checkList(inputs, caller.size, dtype, "inputs");
  checkCount(count, shapes[caller.rank]!.count, "output", `inputs[${caller.rank}], this rank's own,`);
  checkDisjoint(inputs, [output], caller.rank);
  return {
    request: { collective: "reduceScatter", output, inputs, op },
    read: inputs,
    written: [output],
    value: nothing,
  };
}

/** Arguments of `reduceScatterTensor`. */
export function reduceScatterTensor(
  caller: Caller,
  output: Tensor,
  input: Tensor,
  options: ReduceOptions,
): PreparedCall<void> {
  const op = opOf(options.op, output, "output");
  const { dtype, count } = shapeOf(output, "output");
  const shape = shapeOf(input, "input");
  checkDtype(shape.dtype, dtype, "input");
  checkCount(shape.count, count * caller.size, "input", `${caller.size} ranks × ${count} elements`);
  checkDisjoint(equalParts(caller, input, count), [output], caller.rank);
  return {
    request: { collective: "reduceScatterTensor", output, input, op },
    read: [input],
    written: [output],
    value: nothing,
  };
}

/** Arguments of `allToAll`. */
export function allToAll(caller: Caller, outputs: readonly Tensor[], inputs: readonly Tensor[]): PreparedCall<void> {
  const { dtype } = checkFirst(inputs, caller.size, "inputs");
  const sent = checkList(inputs, caller.size, dtype, "inputs");
  const received = checkList(outputs, caller.size, dtype, "outputs");
  checkCount(
    received[caller.rank]!.count,
    sent[caller.rank]!.count,
    `outputs[${caller.rank}]`,
    `inputs[${caller.rank}]`,
  );
  checkDisjoint(inputs, outputs, -1);
  return { request: { collective: "allToAll", outputs, inputs }, read: inputs, written: outputs, value: nothing };
}

/** Arguments of `allToAllSingle`. */
export function allToAllSingle(
  caller: Caller,
  output: Tensor,
  input: Tensor,
  options: AllToAllSingleOptions,
): PreparedCall<void> {
  const { dtype, count } = shapeOf(input, "input");
  const out = shapeOf(output, "output");
  checkDtype(out.dtype, dtype, "output");
  const inputSplits = checkSplits(options.inputSplits, count, caller.size, "input");
  const outputSplits = checkSplits(options.outputSplits, out.count, caller.size, "output");
  const { rank } = caller;
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
export function scan(tensor: Tensor, options: ReduceOptions): PreparedCall<void> {
  const op = opOf(options.op, tensor);
  return { request: { collective: "scan", tensor, op }, written: [tensor], value: nothing };
}

/** Arguments of `exscan`. */
export function exscan(tensor: Tensor, options: ReduceOptions): PreparedCall<void> {
  const op = opOf(options.op, tensor);
  return { request: { collective: "exscan", tensor, op }, written: [tensor], value: nothing };
}

/** Arguments of `send`. */
export function send(caller: Caller, tensor: Tensor, dst: number, options: PointToPointOptions): PreparedCall<void> {
  shapeOf(tensor, "tensor");
  const peer = checkPeer(dst, caller.rank, caller.size, "dst");
  const tag = checkTag(options.tag ?? 0);
  return { request: { collective: "send", tensor, peer, tag }, read: [tensor], value: nothing };
}

/** Arguments of `recv`. */
export function recv(caller: Caller, tensor: Tensor, src: number, options: PointToPointOptions): PreparedCall<number> {
  shapeOf(tensor, "tensor");
  const peer = checkPeer(src, caller.rank, caller.size, "src");
  const tag = checkTag(options.tag ?? 0);
  return { request: { collective: "recv", tensor, peer, tag }, written: [tensor], value: (source) => source! };
}

/** Arguments of `recvAnySource`. */
export function recvAnySource(tensor: Tensor, options: PointToPointOptions): PreparedCall<number> {
  shapeOf(tensor, "tensor");
  const tag = checkTag(options.tag ?? 0);
  return { request: { collective: "recvAnySource", tensor, tag }, written: [tensor], value: (source) => source! };
}

/** Arguments of `barrier`. */
export function barrier(): PreparedCall<void> {
  return { request: { collective: "barrier" }, value: nothing };
}

/** Arguments of `allGatherObject`. */
export function allGatherObject<T>(caller: Caller, value: T): PreparedCall<T[]> {
  const bytes = encodeObject(value);
  const everyone = everyRank(caller);
  return objectCall(
    "allGatherObject",
    everyone.map(() => bytes),
    everyone,
    null,
    (received) => received.map((item) => decodeObject<T>(item)),
  );
}

/** Arguments of `broadcastObject`. */
export function broadcastObject<T>(caller: Caller, value: T, options: RootOptions): PreparedCall<T> {
  const root = rootOf(caller, options);
  const bytes = root === caller.rank ? encodeObject(value) : null;
  return objectCall(
    "broadcastObject",
    everyRank(caller).map(() => bytes),
    [root],
    root,
    (received) => decodeObject<T>(received[root]),
  );
}

/** Arguments of `gatherObject`. */
export function gatherObject<T>(caller: Caller, value: T, options: RootOptions): PreparedCall<T[] | null> {
  const root = rootOf(caller, options);
  const outgoing = everyRank(caller).map((rank) => (rank === root ? encodeObject(value) : null));
  const sources = root === caller.rank ? everyRank(caller) : [];
  return objectCall("gatherObject", outgoing, sources, root, (received) =>
    root === caller.rank ? received.map((item) => decodeObject<T>(item)) : null,
  );
}

/** Arguments of `scatterObject`. */
export function scatterObject<T>(caller: Caller, values: readonly T[] | null, options: RootOptions): PreparedCall<T> {
  const root = rootOf(caller, options);
  checkRootList(caller, values, root, "values");
  if (values && values.length !== caller.size) {
    throw new RangeError(`values has ${values.length} entries, and the group has ${caller.size} ranks`);
  }
  const outgoing = everyRank(caller).map((rank) => (values ? encodeObject(values[rank]) : null));
  return objectCall("scatterObject", outgoing, [root], root, (received) => decodeObject<T>(received[root]));
}

/** Arguments of `newGroup`. */
export function newGroup(caller: Caller, ranks: readonly number[]): PreparedCall<void> {
  if (!Array.isArray(ranks) || ranks.length === 0) {
    throw new RangeError("newGroup: ranks must be a list with at least one rank");
  }
  for (const rank of ranks) checkRank(rank, caller.size, "newGroup: a rank");
  const twice = ranks.find((rank, i) => ranks.indexOf(rank) !== i);
  if (twice !== undefined) throw new RangeError(`newGroup: rank ${twice} is given twice`);
  return { request: { collective: "newGroup", ranks }, value: nothing };
}

/** Arguments of `split`; the value is every rank's color and key. */
export function split(caller: Caller, color: number | null, key: number): PreparedCall<[number | null, number][]> {
  if (color !== null && (!Number.isInteger(color) || color < 0)) {
    throw new RangeError(`split: color must be a whole number or null, got ${color}`);
  }
  const bytes = encodeObject([color, key]);
  const everyone = everyRank(caller);
  return objectCall(
    "split",
    everyone.map(() => bytes),
    everyone,
    null,
    (received) => received.map((item) => decodeObject<[number | null, number]>(item)),
  );
}

function everyRank({ size }: Caller): number[] {
  return Array.from({ length: size }, (_, rank) => rank);
}

function rootOf({ size }: Caller, { root = 0 }: RootOptions): number {
  return checkRank(root, size, "root");
}

function opOf(op: ReduceOpLike | undefined, tensor: Tensor, name = "tensor"): Op {
  return resolveReduceOp(op ?? ReduceOp.SUM, shapeOf(tensor, name).dtype);
}

function checkRootList({ rank }: Caller, list: readonly unknown[] | null, root: number, name: string): void {
  if (root === rank && !list)
    throw new TypeError(`${name} is null, and this rank (${root}) is the root: it needs them`);
  if (root !== rank && list) {
    throw new TypeError(`${name} is given on rank ${rank}, and only the root (${root}) has them: pass null`);
  }
}

function equalParts(caller: Caller, tensor: Tensor, count: number): Tensor[] {
  return everyRank(caller).map((rank) => subTensor(tensor, rank * count, count));
}

function checkFirst(tensors: readonly Tensor[], size: number, name: string) {
  if (!Array.isArray(tensors) || tensors.length === 0) throw new TypeError(`${name} must be a list of ${size} tensors`);
  return shapeOf(tensors[0] as Tensor, `${name}[0]`);
}

/**
 * A value's bytes.
 * @throws TypeError if MessagePack cannot hold it.
 */
function encodeObject(value: unknown): Uint8Array {
  return encodeControl(value, OBJECT_LIMITS);
}

/** The value that {@link encodeObject} was given, on another rank. */
function decodeObject<T>(bytes: Uint8Array | null | undefined): T {
  return decodeControl(bytes!, OBJECT_LIMITS) as T;
}

/** A prepared call that exchanges byte strings; `value` makes the Work's value of what was received. */
function objectCall<T>(
  collective: ObjectRequest["collective"],
  outgoing: readonly (Uint8Array | null)[],
  sources: readonly number[],
  root: number | null,
  value: (received: readonly (Uint8Array | null)[]) => T,
): PreparedCall<T> {
  const received = new Array<Uint8Array | null>(outgoing.length).fill(null);
  return { request: { collective, outgoing, sources, received, root }, value: () => value(received) };
}
