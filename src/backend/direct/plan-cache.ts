/**
 * Plan cache: programs call the same collective on the same tensors again and again, and to plan a short call takes
 * longer than to run it. So a plan is kept for the next call with the same arguments, as long as its first tensor lives.
 *
 * What is compared is what a plan is made of: every field of the request, the algorithm's name, and where the tensors lie
 * now, for the array in a `{ data, dtype }` may be another one, or have become shorter. That the tensors are tensors at all
 * has been checked before. Requests with lists are not kept: what a list holds may change.
 */

import { type Request, tensorsOf } from "../../request.ts";
import type { Collective, DataType, HostArray, HostTensor, Tensor } from "../../types.ts";
import type { Call } from "../backend.ts";
import type { CollectiveRequest, Plan } from "./plan.ts";

/** Where a tensor in host memory lay, and what it was taken for. */
interface Place {
  readonly buffer: ArrayBufferLike;
  readonly byteOffset: number;
  readonly count: number;
  /** Null for a bare array, which says itself what it is. */
  readonly dtype: DataType | null;
}

interface Kept {
  readonly request: CollectiveRequest;
  readonly algorithm: string | undefined;
  /** In the order of `tensorsOf`. */
  readonly places: readonly Place[];
  readonly plan: Plan;
}

/** The plans of one group for tensors in host memory, by collective and first tensor. */
export class PlanCache {
  readonly #kept = new Map<Collective, WeakMap<object, Kept>>();

  /** The plan of an earlier call with the same arguments, or null. */
  find(request: Request, { algorithm }: Call): Plan | null {
    const kept = this.#kept.get(request.collective)?.get(this.#keyOf(request));
    return kept && kept.algorithm === algorithm && isSame(kept, request) ? kept.plan : null;
  }

  /** Keeps the plan of a call, whose tensors are in host memory. */
  keep(request: CollectiveRequest, { algorithm }: Call, plan: Plan): void {
    if (Object.values(request).some(Array.isArray)) return;
    const kept = this.#kept.get(request.collective) ?? new WeakMap<object, Kept>();
    this.#kept.set(request.collective, kept);
    kept.set(this.#keyOf(request), { request, algorithm, places: tensorsOf(request).map(placeOf), plan });
  }

  /** A call without tensors is kept as long as the group. */
  #keyOf(request: Request): object {
    if ("tensor" in request) return request.tensor;
    return "input" in request ? request.input : this;
  }
}

function isSame({ request, places }: Kept, now: Request): boolean {
  for (const field in request) {
    if (request[field as keyof Request] !== now[field as keyof Request]) return false;
  }
  let at = 0;
  if ("tensor" in now && !isPlaceOf(places[at++]!, now.tensor)) return false;
  if ("input" in now && !isPlaceOf(places[at++]!, now.input)) return false;
  return !("output" in now) || isPlaceOf(places[at]!, now.output);
}

function placeOf(tensor: Tensor): Place {
  const { buffer, byteOffset, length } = arrayOf(tensor);
  return { buffer, byteOffset, count: length, dtype: "dtype" in tensor ? tensor.dtype : null };
}

/** Does `tensor`, which lay there, still? */
function isPlaceOf({ buffer, byteOffset, count, dtype }: Place, tensor: Tensor): boolean {
  const data = arrayOf(tensor);
  if (data.length !== count || data.byteOffset !== byteOffset || data.buffer !== buffer) return false;
  return dtype === null || (tensor as HostTensor).dtype === dtype;
}

function arrayOf(tensor: Tensor): HostArray {
  return "data" in tensor ? tensor.data : (tensor as HostArray);
}
