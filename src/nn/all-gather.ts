import type { ProcessGroup } from "../group/process-group.ts";
import type { OptionNames } from "../option-checks.ts";
import { COLLECTIVE_OPTIONS, type CollectiveOptions } from "../options.ts";
import type { ShapedTensor, Tensor } from "../types.ts";
import { checkCounts, checkTensor } from "./checks.ts";
import { checkShape, isShaped, valuesOf } from "./forms.ts";
import { type Differentiable, differentiable } from "./pullback.ts";
import * as steps from "./steps/collective.ts";
import { constant } from "./steps/variable.ts";

/** Options of `nn.allGather` and `nn.allToAll`. */
export interface OutputSplitsOptions extends CollectiveOptions {
  /** Elements from each rank. Default: as many as this rank gives (`allToAll`: as many as it gives to that rank). */
  outputSplits?: readonly number[];
}

export const OUTPUT_SPLITS_OPTIONS: OptionNames<OutputSplitsOptions> = { ...COLLECTIVE_OPTIONS, outputSplits: true };

/**
 * `group.allGather` with a gradient: `y[r]` is rank r's x. The gradient of rank r's x is the sum of all ranks' `gy[r]` (a
 * reduceScatter).
 *
 * @throws TypeError for integers; RangeError for splits that do not fit; UnsupportedError for f64 in a GPUBuffer and for CUDA memory.
 */
export function allGather(
  group: ProcessGroup,
  x: Tensor,
  options: OutputSplitsOptions = {},
): Differentiable<Tensor[], Tensor> {
  return differentiable("nn.allGather", group, OUTPUT_SPLITS_OPTIONS, options, (reads) => {
    const { count } = checkTensor(group, x, "nn.allGather: x");
    const counts = checkCounts(options.outputSplits, count, group.size, "nn.allGather");
    reads([x]);
    return async (tape, own) => {
      const input = constant(x);
      return { y: valuesOf(await steps.allGather(tape, input, counts, own)), x: valuesOf(input) };
    };
  });
}

/**
 * `group.allGatherIntoTensor` with a gradient: y is one tensor of size × x.count elements, rank after rank. The gradient of x is this
 * rank's part of the sum of all ranks' gy (a reduceScatterTensor). If x is a ShapedTensor, y is one, whose first dimension is
 * size times x's; gradients may have shapes either way.
 *
 * @throws RangeError of the pullback if gy's first dimension is no multiple of the group's size: "Tensor with dimensions: [5, 2]
 * does not have first dimension divisible by world_size: 2"; else as {@link allGather}.
 */
export function allGatherBase<T extends Tensor | ShapedTensor>(
  group: ProcessGroup,
  x: T,
  options: CollectiveOptions = {},
): Differentiable<T, T> {
  return differentiable("nn.allGatherBase", group, COLLECTIVE_OPTIONS, options, (reads) => {
    const tensor = isShaped(x) ? x.tensor : (x as Tensor);
    checkTensor(group, tensor, "nn.allGatherBase: x");
    const shape = isShaped(x) ? checkShape(x, "nn.allGatherBase: x") : null;
    reads([tensor]);
    return async (tape, own) => {
      const input = constant(tensor);
      const y = await steps.allGatherBase(tape, input, own);
      const [length = 1, ...others] = shape ?? [];
      const shapes = shape ? { x: { shape }, y: { shape: [length * group.size, ...others] } } : {};
      return {
        y: { form: { variable: y, divisor: group.size, ...shapes.y }, hidden: [] },
        x: { form: { variable: input, ...shapes.x }, hidden: [] },
      };
    };
  });
}
