/**
 * Arguments of the coalesced calls, checked on this rank and made into a prepared call. What each argument must be stands at
 * the method of the same name in process-group.ts; each function here throws TypeError or RangeError for one that is not, and
 * then nothing has happened.
 */
import type { ReduceOptions, RootOptions } from "../options.ts";
import { accumulationOf, type ReduceOp as Op, ReduceOp, resolveReduceOp } from "../reduce-op.ts";
import { describeList, named } from "../tensor/describe.ts";
import type { TensorView } from "../tensor/view.ts";
import type { Tensor } from "../types.ts";
import * as prepare from "./arguments.ts";
import { type Caller, rootOf } from "./checks.ts";
import { checkApart } from "./claims.ts";
import type { PreparedCall } from "./prepared-call.ts";

const nothing = () => undefined;

/** Tensors of any memories, those of one memory together; an empty list is one of no memory, for it is a call all the same. */
export function byMemory(list: readonly Tensor[]): TensorView[][] {
  const lists = new Map<string, TensorView[]>();
  for (const view of describedList(list)) {
    const alike = lists.get(view.memory);
    if (alike) alike.push(view);
    else lists.set(view.memory, [view]);
  }
  return lists.size === 0 ? [[]] : [...lists.values()];
}

/** Arguments of `allReduceCoalesced`. */
export function allReduceCoalesced(list: readonly Tensor[], options: ReduceOptions): PreparedCall<void> {
  return allReduceOf(describedList(list), options);
}

/** Arguments of an allReduce of several tensors, which lie in one memory. */
export function allReduceOf(
  tensors: readonly TensorView[],
  { op = ReduceOp.SUM, accumulate }: ReduceOptions,
): PreparedCall<void> {
  let resolved: Op = ReduceOp.SUM;
  for (const dtype of new Set(tensors.map((tensor) => tensor.dtype))) resolved = resolveReduceOp(op, dtype);
  checkApart([], tensors);
  const dtypes = tensors.map(({ dtype }) => dtype);
  const inF32 = accumulationOf(accumulate, resolved, dtypes);
  return {
    ...{
      request: { collective: "allReduceCoalesced", tensors, op: resolved, ...inF32 },
      written: tensors,
      value: nothing,
    },
  };
}

/** Arguments of a broadcast of several tensors, which lie in one memory. */
export function broadcastOf(caller: Caller, tensors: readonly TensorView[], options: RootOptions): PreparedCall<void> {
  const root = rootOf(caller, options);
  const isRoot = root === caller.rank;
  if (!isRoot) checkApart([], tensors);
  return {
    request: { collective: "broadcastCoalesced", tensors, root },
    read: isRoot ? tensors : [],
    written: isRoot ? [] : tensors,
    value: nothing,
  };
}

/** Arguments of `allGatherIntoTensorCoalesced`. */
export function allGatherIntoTensorCoalesced(
  caller: Caller,
  outputList: readonly Tensor[],
  inputList: readonly Tensor[],
): PreparedCall<void> {
  const { outputs, inputs } = pairs(outputList, inputList, (output, input) =>
    prepare.allGatherIntoTensor(caller, output, input),
  );
  return {
    request: { collective: "allGatherIntoTensorCoalesced", outputs, inputs },
    read: inputs,
    written: outputs,
    value: nothing,
  };
}

/** Arguments of `reduceScatterTensorCoalesced`. */
export function reduceScatterTensorCoalesced(
  caller: Caller,
  outputList: readonly Tensor[],
  inputList: readonly Tensor[],
  options: ReduceOptions,
): PreparedCall<void> {
  let op: Op = ReduceOp.SUM;
  let accumulate: "f32" | undefined;
  const { outputs, inputs } = pairs(outputList, inputList, (output, input) => {
    const prepared = prepare.reduceScatterTensor(caller, output, input, options);
    if (prepared.request.collective === "reduceScatterTensor") {
      op = prepared.request.op;
      accumulate ??= prepared.request.accumulate;
    }
    return prepared;
  });
  return {
    request: { collective: "reduceScatterTensorCoalesced", outputs, inputs, op, ...(accumulate && { accumulate }) },
    read: inputs,
    written: outputs,
    value: nothing,
  };
}

/** Each output with its input, checked as a call of its own by `check`. */
function pairs(
  outputList: readonly Tensor[],
  inputList: readonly Tensor[],
  check: (output: Tensor, input: Tensor) => PreparedCall<void>,
): { outputs: TensorView[]; inputs: TensorView[] } {
  checkIsList(outputList, "outputs");
  checkIsList(inputList, "inputs");
  if (outputList.length !== inputList.length) {
    throw new RangeError(`${outputList.length} outputs and ${inputList.length} inputs: one output per input is needed`);
  }
  const outputs: TensorView[] = [];
  const inputs: TensorView[] = [];
  outputList.forEach((output, i) => {
    const { read = [], written = [] } = named(`outputs[${i}] and inputs[${i}]`, () => check(output, inputList[i]!));
    inputs.push(...read);
    outputs.push(...written);
  });
  checkApart(inputs, outputs);
  return { outputs, inputs };
}

function describedList(list: readonly Tensor[]): TensorView[] {
  checkIsList(list, "tensors");
  return describeList(list, "tensors");
}

function checkIsList(list: readonly Tensor[], name: string): void {
  if (!Array.isArray(list)) throw new TypeError(`${name} must be a list of tensors`);
}
