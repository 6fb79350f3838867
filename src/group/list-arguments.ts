/**
 * Arguments of the coalesced calls, checked on this rank and made into a prepared call. What each argument must be stands at
 * the method of the same name in process-group.ts; each function here throws TypeError or RangeError for one that is not, and
 * then nothing has happened.
 */
import type { ReduceOptions, RootOptions } from "../options.ts";
import { accumulationOf, type ReduceOp as Op, ReduceOp, resolveReduceOp } from "../reduce-op.ts";
import { named } from "../tensor/describe.ts";
import { type KnownList, knownList } from "../tensor/known-lists.ts";
import type { TensorView } from "../tensor/view.ts";
import type { Tensor } from "../types.ts";
import * as prepare from "./arguments.ts";
import { type Caller, rootOf } from "./checks.ts";
import { checkApart } from "./claims.ts";
import type { PreparedCall } from "./prepared-call.ts";

const nothing = () => undefined;

/** Arguments of `allReduceCoalesced`. */
export function allReduceCoalesced(
  list: readonly Tensor[],
  { op = ReduceOp.SUM, accumulate }: ReduceOptions,
): PreparedCall<void> {
  const { views: tensors, dtypes } = listOf(list);
  let resolved: Op = ReduceOp.SUM;
  for (const dtype of dtypes) resolved = resolveReduceOp(op, dtype);
  const inF32 = accumulationOf(accumulate, resolved, dtypes);
  return {
    request: { collective: "allReduceCoalesced", tensors, op: resolved, ...inF32 },
    written: tensors,
    value: nothing,
  };
}

/** Arguments of `broadcastAll`. */
export function broadcastCoalesced(caller: Caller, list: readonly Tensor[], options: RootOptions): PreparedCall<void> {
  const { views: tensors } = listOf(list);
  const root = rootOf(caller, options);
  const isRoot = root === caller.rank;
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

/** The list `tensors` of a call, no two of which share memory. */
function listOf(list: readonly Tensor[]): KnownList {
  checkIsList(list, "tensors");
  return knownList(list, "tensors", (views) => checkApart([], views));
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

function checkIsList(list: readonly Tensor[], name: string): void {
  if (!Array.isArray(list)) throw new TypeError(`${name} must be a list of tensors`);
}
