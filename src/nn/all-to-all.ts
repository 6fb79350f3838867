import { checkSplits } from "../group/checks.ts";
import type { ProcessGroup } from "../group/process-group.ts";
import { ALL_TO_ALL_SINGLE_OPTIONS, type AllToAllSingleOptions } from "../options.ts";
import type { Tensor } from "../types.ts";
import { OUTPUT_SPLITS_OPTIONS, type OutputSplitsOptions } from "./all-gather.ts";
import { checkCounts, checkTensor, checkTensors } from "./checks.ts";
import { valuesOf } from "./forms.ts";
import { type Differentiable, differentiable } from "./pullback.ts";
import * as steps from "./steps/collective.ts";
import { constant } from "./steps/variable.ts";

/**
 * `group.allToAll` with a gradient: `y[r]` is the tensor that rank r has for this rank. The gradient of `x[r]` is rank r's gradient of the
 * tensor it received from here (the allToAll in reverse).
 *
 * @throws TypeError for integers; RangeError for splits that do not fit; UnsupportedError for f64 in a GPUBuffer and for CUDA memory.
 */
export function allToAll(
  group: ProcessGroup,
  x: readonly Tensor[],
  options: OutputSplitsOptions = {},
): Differentiable<Tensor[], Tensor[]> {
  return differentiable("nn.allToAll", group, OUTPUT_SPLITS_OPTIONS, options, (reads) => {
    const views = checkTensors(group, x, "nn.allToAll: x");
    const own = views.map(({ count }) => count);
    const counts = checkCounts(options.outputSplits, own, group.size, "nn.allToAll");
    const inputs = x.map(constant);
    reads(x);
    return async (tape, ownOptions) => {
      return { y: valuesOf(await steps.allToAll(tape, inputs, counts, ownOptions)), x: valuesOf(inputs) };
    };
  });
}

/**
 * `group.allToAllSingle` with a gradient: {@link allToAll} of one tensor, cut by `inputSplits`, into one of `outputSplits`. The
 * pullback is the same with the splits swapped.
 *
 * `inputSplits`: elements for each rank, equal shares by default. `outputSplits`: elements from each rank; by default as many
 * as it gets from here.
 *
 * @throws as {@link allToAll}.
 */
export function allToAllSingle(
  group: ProcessGroup,
  x: Tensor,
  options: AllToAllSingleOptions = {},
): Differentiable<Tensor, Tensor> {
  return differentiable("nn.allToAllSingle", group, ALL_TO_ALL_SINGLE_OPTIONS, options, (reads) => {
    const { count } = checkTensor(group, x, "nn.allToAllSingle: x");
    const inputSplits = checkSplits(options.inputSplits, count, group.size, "input");
    const outputSplits = checkCounts(options.outputSplits, inputSplits, group.size, "nn.allToAllSingle");
    reads([x]);
    return async (tape, own) => {
      const input = constant(x);
      const y = await steps.allToAllSingle(tape, input, { inputSplits, outputSplits }, own);
      return { y: valuesOf(y), x: valuesOf(input) };
    };
  });
}
