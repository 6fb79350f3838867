import { checkRank } from "../group/checks.ts";
import type { ProcessGroup } from "../group/process-group.ts";
import { checkOptions } from "../option-checks.ts";
import { ROOTED_REDUCE_OPTIONS, type RootedReduceOptions } from "../options.ts";
import type { Tensor } from "../types.ts";
import { checkReduction, checkTensor } from "./checks.ts";
import { valuesOf } from "./forms.ts";
import { type Differentiable, differentiable } from "./pullback.ts";
import { broadcast, scatter } from "./steps/collective.ts";
import { backOfReduction } from "./steps/reduction.ts";
import { constant, recordedOne } from "./steps/variable.ts";

/**
 * `group.reduce` with a gradient: y = x0 op x1 op … on root. On every other rank y is a copy of x that counts as a constant: its
 * gradient is not used.
 *
 * The gradients are those of {@link allReduce}, with root's gy for G; the pullback broadcasts it (product: scatters it, and makes two
 * allToAll). For min and max the forward call is an allReduce, and another one of i32, since every rank must know the result.
 *
 * @throws as {@link allReduce}; RangeError if there is no such root.
 */
export async function reduce(
  group: ProcessGroup,
  x: Tensor,
  options: RootedReduceOptions = {},
): Differentiable<Tensor, Tensor> {
  checkOptions("nn.reduce", ROOTED_REDUCE_OPTIONS, options);
  const { root = 0 } = options;
  checkRank(root, group.size, "nn.reduce: root");
  const { dtype } = checkTensor(x, "nn.reduce: x");
  const reduction = checkReduction("nn.reduce", options.op, dtype, group.size);
  const { op, kind } = reduction;
  return differentiable("nn.reduce", group, options, async (tape, own) => {
    const input = constant(kind === "product" ? tape.math.cloneOf(x) : x);
    const y = tape.math.cloneOf(x);
    if (kind === "extremum") await group.allReduce(y, { ...tape.options, op });
    else await group.reduce(y, { ...own, op, root });
    const back = await backOfReduction(tape, reduction, input, y, {
      whole: (again, g) => broadcast(again, g, root),
      shares: (again, parts) => scatter(again, parts, root),
    });
    const result = kind === "extremum" && group.rank !== root ? tape.math.cloneOf(x) : y;
    return { y: valuesOf(recordedOne([input], result, back)), x: valuesOf(input) };
  });
}
