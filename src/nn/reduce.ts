import { checkRank } from "../group/checks.ts";
import type { ProcessGroup } from "../group/process-group.ts";
import type { OptionNames } from "../option-checks.ts";
import { OP_OPTIONS, type OpOptions, type RootOptions } from "../options.ts";
import { describe } from "../tensor/describe.ts";
import type { Tensor } from "../types.ts";
import { checkReduction, checkTensor } from "./checks.ts";
import { valuesOf } from "./forms.ts";
import { type Differentiable, differentiable } from "./pullback.ts";
import { broadcast, scatter } from "./steps/collective.ts";
import { backOfReduction } from "./steps/reduction.ts";
import { constant, recordedOne } from "./steps/variable.ts";

/** Options of {@link reduce}. */
export interface ReduceOptions extends OpOptions, RootOptions {}

const REDUCE_OPTIONS: OptionNames<ReduceOptions> = { ...OP_OPTIONS, root: true };

/**
 * `group.reduce` with a gradient: y = x0 op x1 op … on root. On every other rank y is a copy of x that counts as a constant: its
 * gradient is not used.
 *
 * The gradients are those of {@link allReduce}, with root's gy for G; the pullback broadcasts it (product: scatters it, and makes two
 * allToAll). For min and max the forward call makes two allReduces instead, of x and of i32, to find the owners; `algorithm` has no use there.
 *
 * @throws as {@link allReduce}; RangeError if there is no such root.
 */
export function reduce(group: ProcessGroup, x: Tensor, options: ReduceOptions = {}): Differentiable<Tensor, Tensor> {
  return differentiable("nn.reduce", group, REDUCE_OPTIONS, options, (reads) => {
    const { root = 0 } = options;
    checkRank(root, group.size, "nn.reduce: root");
    const { dtype } = checkTensor(group, x, "nn.reduce: x");
    const reduction = checkReduction("nn.reduce", options.op, dtype, group.size);
    const { op, kind } = reduction;
    reads([x]);
    return async (tape, own) => {
      const input = constant(kind === "product" ? tape.math.cloneOf(x) : x);
      const y = tape.math.cloneOf(x);
      // For min and max every rank needs the result. An allReduce fails on all ranks or on none, and so all go on alike.
      const known = kind === "extremum" ? tape.math.cloneOf(x) : y;
      if (kind === "extremum") {
        await group.allReduce(known, { ...tape.options, op });
        if (group.rank === root) tape.math.copy(y, 0, known, 0, describe(x).count);
      } else {
        await group.reduce(y, { ...own, op, root });
      }
      const back = await backOfReduction(tape, reduction, input, known, {
        whole: (again, g) => broadcast(again, g, root),
        shares: (again, parts) => scatter(again, parts, root),
      });
      return { y: valuesOf(recordedOne([input], y, back)), x: valuesOf(input) };
    };
  });
}
