/**
 * Plan cache: programs call the same collective on the same tensors again and again, and to plan a short call takes longer than
 * to run it. So a plan is kept for the next call with the same arguments, as long as its first tensor lives.
 *
 * The cache compares every argument of which a plan is made: every field of the request, the algorithm's name, and the
 * tensors' views, for the array in a `{ data, dtype }` may be another one, or have become shorter, and a list may hold others.
 */
import type { Request } from "../../request.ts";
import { isSameMemory, type TensorView } from "../../tensor/view.ts";
import type { Collective } from "../../types.ts";
import type { Call } from "../backend.ts";
import type { CollectiveRequest, Plan } from "./planning.ts";

interface Kept {
  readonly request: CollectiveRequest;
  readonly algorithm: string | undefined;
  readonly plan: Plan;
}

/** The plans of one group, by collective and first tensor. */
export class PlanCache {
  readonly #kept = new Map<Collective, WeakMap<object, Kept>>();

  /** The plan of an earlier call with the same arguments, or null. */
  find(request: CollectiveRequest, { algorithm }: Call): Plan | null {
    const kept = this.#kept.get(request.collective)?.get(this.#keyOf(request));
    return kept && kept.algorithm === algorithm && isSame(kept.request as Fields, request as Fields) ? kept.plan : null;
  }

  /** Keeps the plan of a call that has tensors, or of a barrier. */
  keep(request: CollectiveRequest, { algorithm }: Call, plan: Plan): void {
    if ("outgoing" in request || "ranks" in request || "device" in request) return;
    const kept = this.#kept.get(request.collective) ?? new WeakMap<object, Kept>();
    this.#kept.set(request.collective, kept);
    kept.set(this.#keyOf(request), { request, algorithm, plan });
  }

  /** A call without tensors is kept as long as the group. */
  #keyOf(request: Request): object {
    if ("tensor" in request) return request.tensor.tensor;
    if ("input" in request) return request.input.tensor;
    const first = "tensors" in request ? request.tensors[0] : "output" in request ? request.output : null;
    return (first ?? ("outputs" in request ? request.outputs?.[0] : null))?.tensor ?? this;
  }
}

/** The fields of a request. */
interface Fields {
  readonly [field: string]: unknown;
}

/** Are they the same calls? A view is made for each call, so views are compared by what they tell. */
function isSame(before: Fields, now: Fields): boolean {
  for (const field in before) if (!isSameField(before[field], now[field])) return false;
  return true;
}

function isSameField(before: unknown, now: unknown): boolean {
  if (before === now) return true;
  if (Array.isArray(before) && Array.isArray(now)) {
    if (before.length !== now.length) return false;
    for (let i = 0; i < before.length; i++) if (!isSameField(before[i], now[i])) return false;
    return true;
  }
  return isView(before) && isView(now) && isSameView(before, now);
}

function isView(value: unknown): value is TensorView {
  return typeof value === "object" && value !== null && "buffer" in value;
}

function isSameView(before: TensorView, now: TensorView): boolean {
  return isSameMemory(before, now) && before.dtype === now.dtype && before.tensor === now.tensor;
}
