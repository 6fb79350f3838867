/**
 * Plan cache: programs call the same collective on the same tensors again and again, and to plan a short call takes longer than
 * to run it. So a plan is kept for the next call with the same arguments, as long as its first tensor lives.
 *
 * The cache compares every argument of which a plan is made: every field of the request, the algorithm's name, and the
 * tensors' views, for the array in a `{ data, dtype }` may be another one, or have become shorter. Requests with lists are not
 * kept: what a list holds may change.
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
  find(request: Request, { algorithm }: Call): Plan | null {
    const kept = this.#kept.get(request.collective)?.get(this.#keyOf(request));
    return kept && kept.algorithm === algorithm && isSame(kept.request as Fields, request as Fields) ? kept.plan : null;
  }

  /** Keeps the plan of a call. */
  keep(request: CollectiveRequest, { algorithm }: Call, plan: Plan): void {
    if (Object.values(request).some(Array.isArray)) return;
    const kept = this.#kept.get(request.collective) ?? new WeakMap<object, Kept>();
    this.#kept.set(request.collective, kept);
    kept.set(this.#keyOf(request), { request, algorithm, plan });
  }

  /** A call without tensors is kept as long as the group. */
  #keyOf(request: Request): object {
    if ("tensor" in request) return request.tensor.tensor;
    return "input" in request ? request.input.tensor : this;
  }
}

/** The fields of a request. */
interface Fields {
  readonly tensor?: TensorView;
  readonly input?: TensorView;
  readonly output?: TensorView;
  readonly [field: string]: unknown;
}

/** Are they the same calls? A view is made for each call, so views are compared by what they tell. */
function isSame(before: Fields, now: Fields): boolean {
  for (const field in before) {
    const isView = field === "tensor" || field === "input" || field === "output";
    if (!isView && before[field] !== now[field]) return false;
  }
  return (
    isSameView(before.tensor, now.tensor) &&
    isSameView(before.input, now.input) &&
    isSameView(before.output, now.output)
  );
}

function isSameView(before: TensorView | undefined, now: TensorView | undefined): boolean {
  if (!before || !now) return before === now;
  return isSameMemory(before, now) && before.dtype === now.dtype && before.tensor === now.tensor;
}
