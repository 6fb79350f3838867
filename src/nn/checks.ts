/** Checks of the arguments of differentiable calls. Each throws before anything is sent. */
import { UnsupportedError } from "../errors.ts";
import { checkList } from "../group/checks.ts";
import type { ProcessGroup } from "../group/process-group.ts";
import { type ReduceOpLike, resolveReduceOp } from "../reduce-op.ts";
import { describeArgument } from "../tensor/describe.ts";
import type { TensorView } from "../tensor/view.ts";
import { type DataType, isFloat, type Tensor } from "../types.ts";

/** The reductions that have a gradient: MIN and MAX, PRODUCT, and those that are a sum of each rank's input times a factor. */
export type Reduction =
  | { readonly kind: "sum"; readonly op: ReduceOpLike; readonly factor: number }
  | { readonly kind: "extremum" | "product"; readonly op: ReduceOpLike };

/**
 * The view of `tensor`.
 * @throws TypeError if it is no tensor, or one of integers, which have no gradient.
 * @throws UnsupportedError if it lies in memory whose gradients webccl cannot compute.
 */
export function checkTensor(group: ProcessGroup, tensor: Tensor, name: string): TensorView {
  const view = describeArgument(tensor, name);
  if (!isFloat(view.dtype)) {
    throw new TypeError(`${name} is ${view.dtype}, and integers have no gradient: call the collective of the group`);
  }
  if (view.memory === "cuda") {
    throw new UnsupportedError(
      `${name} is a CudaTensor, and webccl has no arithmetic of its own in CUDA memory: use a host array or a GPUBuffer`,
    );
  }
  if (view.memory === "gpu" && group.device === null) {
    throw new TypeError(
      `${name} lies in a GPUBuffer, and the group has no GPUDevice: pass the buffer's to initProcessGroup`,
    );
  }
  if (view.memory === "gpu" && view.dtype === "f64") {
    throw new UnsupportedError(`${name} is f64 in a GPUBuffer, which WGSL cannot add: use a Float64Array`);
  }
  return view;
}

/** A list with one tensor for each rank, all of one dtype, each checked as by {@link checkTensor}. */
export function checkTensors(group: ProcessGroup, tensors: readonly Tensor[], name: string): TensorView[] {
  const dtype =
    Array.isArray(tensors) && tensors.length > 0 ? checkTensor(group, tensors[0] as Tensor, `${name}[0]`).dtype : "f32";
  checkList(tensors, group.size, dtype, name);
  return tensors.map((tensor, i) => checkTensor(group, tensor, `${name}[${i}]`));
}

/**
 * The reduction that `op` names.
 * @throws TypeError if it has no gradient: the bitwise operations and custom ones.
 */
export function checkReduction(name: string, op: ReduceOpLike = "sum", dtype: DataType, size: number): Reduction {
  const resolved = resolveReduceOp(op, dtype);
  switch (resolved.name) {
    case "sum":
      return { kind: "sum", op: resolved, factor: 1 };
    case "avg":
      return { kind: "sum", op: resolved, factor: 1 / size };
    case "premul-sum":
      return { kind: "sum", op: resolved, factor: Number(resolved.factor) };
    case "min":
    case "max":
      return { kind: "extremum", op: resolved };
    case "product":
      return { kind: "product", op: resolved };
    default:
      throw new TypeError(
        `${name}: op ${resolved.name} has no gradient: use sum, avg, premul-sum, product, min or max, or write its pullback`,
      );
  }
}

/** Elements from each rank: `splits`, or `count` from every one. */
export function checkCounts(
  splits: readonly number[] | undefined,
  count: number | readonly number[],
  size: number,
  where: string,
): number[] {
  if (splits === undefined) return typeof count === "number" ? new Array<number>(size).fill(count) : [...count];
  if (!Array.isArray(splits) || splits.length !== size) {
    throw new RangeError(`${where}: outputSplits must have ${size} entries, one for each rank`);
  }
  for (const split of splits) {
    if (!Number.isInteger(split) || split < 0) {
      throw new RangeError(`${where}: outputSplits holds ${split}: whole numbers are needed`);
    }
  }
  return [...splits];
}
