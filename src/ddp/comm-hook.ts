/**
 * CommHook: a function that reduces a bucket of gradients across the ranks, in place of the Reducer's own allReduce.
 *
 * Source: torch/csrc/distributed/c10d/comm.hpp, and torch.distributed.algorithms.ddp_comm_hooks.
 */
import { describe } from "../tensor/describe.ts";
import type { Tensor } from "../types.ts";
import type { GradBucket } from "./grad-bucket.ts";

/** The reduced bucket: one flat tensor of the bucket's count and dtype, or a list whose first item is that. */
export type HookResult = Tensor | readonly Tensor[];

/**
 * Reduces `bucket` and resolves to its average over all ranks, which may be the bucket's own buffer. `state` is the value
 * that was registered with the hook. It is called once for each bucket of an iteration, in the same order on all ranks.
 */
export type CommHook<S = unknown> = (state: S, bucket: GradBucket) => PromiseLike<HookResult>;

/**
 * The tensor that a hook resolved to.
 * @throws TypeError if it is neither a tensor nor a list of tensors.
 */
export function tensorOfHookResult(result: unknown): Tensor {
  const first: unknown = Array.isArray(result) ? result[0] : result;
  try {
    describe(first);
  } catch (cause) {
    throw new TypeError(`expected the hook result is either a Tensor or a TensorList found ${typeName(result)}`, {
      cause,
    });
  }
  return first as Tensor;
}

/** The name of a value's class, else of its type. */
function typeName(value: unknown): string {
  if (typeof value !== "object" || value === null) return value === null ? "null" : typeof value;
  return value.constructor?.name ?? "object";
}
