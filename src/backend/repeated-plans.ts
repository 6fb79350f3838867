/**
 * Repeated plans: programs call the same collective on the same tensors again and again, and to plan a short call takes
 * longer than to run it. So a plan is kept for the next call with the same arguments, as long as its first tensor lives.
 *
 * What is compared is what a plan is made of: every field of the request, the algorithm's name, and where the tensors lie
 * now, for the array in a `{ data, dtype }` may be another one, or have become shorter. That the tensors are tensors at all
 * has been checked before. Requests with lists are not kept: what a list holds may change.
 */
import type { SharedExecutor, Span } from "../executor/executor.ts";
import type { Tensor } from "../types.ts";
import { type Call, type Collective, type Request, tensorsOf } from "./backend.ts";
import type { CollectiveRequest, Plan } from "./plan.ts";

interface Kept {
  readonly request: CollectiveRequest;
  readonly algorithm: string | undefined;
  /** In the order of `tensorsOf`. */
  readonly spans: readonly Span[];
  readonly plan: Plan;
}

/** The plans of one group, by collective and first tensor. */
export class RepeatedPlans {
  readonly #executor: SharedExecutor;
  readonly #kept = new Map<Collective, WeakMap<object, Kept>>();

  constructor(executor: SharedExecutor) {
    this.#executor = executor;
  }

  /** The plan of an earlier call with the same arguments, or null. */
  find(request: Request, { algorithm }: Call): Plan | null {
    const kept = this.#kept.get(request.collective)?.get(this.#keyOf(request));
    if (!kept || kept.algorithm !== algorithm || !this.#isSame(kept, request)) return null;
    return kept.plan;
  }

  /** Keeps the plan of a call. */
  keep(request: CollectiveRequest, { algorithm }: Call, plan: Plan): void {
    if (Object.values(request).some(Array.isArray)) return;
    const spans = tensorsOf(request).map((tensor) => this.#executor.span(tensor));
    const kept = this.#kept.get(request.collective) ?? new WeakMap<object, Kept>();
    this.#kept.set(request.collective, kept);
    kept.set(this.#keyOf(request), { request, algorithm, spans, plan });
  }

  #isSame({ request, spans }: Kept, now: Request): boolean {
    for (const field in request) {
      if (request[field as keyof Request] !== now[field as keyof Request]) return false;
    }
    let at = 0;
    const still = (tensor: Tensor) => this.#executor.isSpanOf(spans[at++]!, tensor);
    if ("tensor" in now && !still(now.tensor)) return false;
    if ("input" in now && !still(now.input)) return false;
    return !("output" in now) || still(now.output);
  }

  /** A call without tensors is kept as long as the executor. */
  #keyOf(request: Request): object {
    if ("tensor" in request) return request.tensor;
    return "input" in request ? request.input : this.#executor;
  }
}
