/**
 * Plans of calls with `accumulate: "f32"`: the same collective on f32 copies of the tensors. Partial sums travel and are added in
 * f32, and each element of a result is rounded to its dtype once, at the end (docs/arithmetic.md). The copies last as long as
 * the call; so such a plan is made anew for each.
 */
import type { Executor } from "../../executor/executor.ts";
import type { Request } from "../../request.ts";
import { describe } from "../../tensor/describe.ts";
import type { TensorView } from "../../tensor/view.ts";
import { DATA_TYPES, type Tensor } from "../../types.ts";
import { hash52 } from "../../wire/fingerprint.ts";
import { IN_F32 } from "../../wire/frame.ts";
import type { Call } from "../backend.ts";
import { planCollective } from "./plan.ts";
import type { CollectiveRequest, Plan, PlanScope } from "./planning.ts";

/** A tensor of the caller's, and its copy. */
interface Widened {
  readonly narrow: TensorView;
  readonly wide: Tensor;
  /** Does the call read it, and does it write it? */
  readonly isRead: boolean;
  readonly isWritten: boolean;
}

/** Is it a call whose sums are added in f32? */
export function isInF32(request: Request): boolean {
  return "accumulate" in request && request.accumulate !== undefined;
}

/** The plan of such a call. A hub folds elements as they are; so it relays here. */
export function planInF32(request: CollectiveRequest, call: Call, scope: PlanScope): Plan {
  const { executor, rank } = scope;
  const copies: Widened[] = [];
  const writesNone =
    (request.collective === "reduce" && request.root !== rank) || (request.collective === "exscan" && rank === 0);
  const wide = {
    ...widened(request, (narrow, field) => {
      if (narrow.dtype === "f32") return narrow;
      const copy = executor.alloc("f32", narrow.count);
      copies.push({
        narrow,
        wide: copy,
        isRead: !field.startsWith("out"),
        isWritten: !field.startsWith("in") && !writesNone,
      });
      return describe(copy);
    }),
    accumulate: undefined,
  } as CollectiveRequest;
  const plan = planCollective(wide, call, { ...scope, hub: "none" });
  const views = copies.map(({ narrow }) => narrow);
  const { fingerprint } = plan;
  const [first] = views;
  // Lists have a detail, in which their dtypes are; elsewhere all have one.
  const dtypes =
    "tensors" in wide || "outputs" in wide ? views.map(({ dtype, count }) => `${dtype} ${count}`).join() : "";
  return {
    ...plan,
    spans: [...plan.spans, ...views.map((view) => executor.span(view))],
    fingerprint: {
      ...fingerprint,
      dtype: first ? DATA_TYPES.indexOf(first.dtype) : fingerprint.dtype,
      op: fingerprint.op + IN_F32,
      detail: dtypes === "" ? fingerprint.detail : hash52(`${fingerprint.detail} ${dtypes}`),
    },
    run: (context) => inF32(executor, copies, async () => plan.run(context)),
  };
}

/** The fields of a request, each tensor of it replaced by what `copyOf` gives. */
function widened(request: CollectiveRequest, copyOf: (view: TensorView, field: string) => TensorView): object {
  const isView = (value: unknown): value is TensorView =>
    typeof value === "object" && value !== null && "memory" in value;
  const fields = Object.entries(request).map(([field, value]) => [
    field,
    isView(value)
      ? copyOf(value, field)
      : Array.isArray(value) && isView(value[0])
        ? value.map((view) => copyOf(view, field))
        : value,
  ]);
  return Object.fromEntries(fields);
}

/** Widens what is read, runs `body` on the copies, and rounds what is written. */
async function inF32(executor: Executor, copies: readonly Widened[], body: () => Promise<void>): Promise<void> {
  const { Elementwise } = await import("../../elementwise/elementwise.ts");
  const buffers = copies.flatMap(({ wide }) => ("buffer" in wide && "destroy" in wide.buffer ? [wide.buffer] : []));
  const elements = new Elementwise(executor.handleMemory as GPUDevice | null);
  try {
    for (const { narrow, wide, isRead } of copies) if (isRead) elements.convert(narrow.tensor, "f32", wide);
    await body();
    // What was asked for in a GPU's memory is submitted then.
    await executor.settled();
    for (const { narrow, wide, isWritten } of copies) {
      if (isWritten) elements.convert(wide, narrow.dtype, narrow.tensor);
    }
  } finally {
    for (const buffer of buffers) buffer.destroy();
  }
}
