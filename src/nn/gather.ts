import { checkRank } from "../group/checks.ts";
import type { ProcessGroup } from "../group/process-group.ts";
import type { OptionNames } from "../option-checks.ts";
import { ROOT_OPTIONS, type RootOptions } from "../options.ts";
import type { Tensor } from "../types.ts";
import { checkCounts, checkTensor } from "./checks.ts";
import { valuesOf } from "./forms.ts";
import { type Differentiable, differentiable } from "./pullback.ts";
import * as steps from "./steps/collective.ts";
import { constant } from "./steps/variable.ts";

/** Options of `nn.gather`. */
export interface GatherOptions extends RootOptions {
  /** Elements from each rank, the same list on all ranks. Default: as many as this rank gives. */
  outputSplits?: readonly number[];
}

const GATHER_OPTIONS: OptionNames<GatherOptions> = { ...ROOT_OPTIONS, outputSplits: true };

/**
 * `group.gather` with a gradient: on root `y[r]` is rank r's x; elsewhere y is a list of zeros, whose gradients are not used. The
 * gradient of rank r's x is root's `gy[r]` (a scatter).
 *
 * @throws TypeError for integers; RangeError if there is no such root, or for splits that do not fit; UnsupportedError for f64 in
 * a GPUBuffer and for CUDA memory.
 */
export function gather(group: ProcessGroup, x: Tensor, options: GatherOptions = {}): Differentiable<Tensor[], Tensor> {
  return differentiable("nn.gather", group, GATHER_OPTIONS, options, (reads) => {
    const { root = 0, outputSplits } = options;
    checkRank(root, group.size, "nn.gather: root");
    const { count } = checkTensor(group, x, "nn.gather: x");
    const counts = checkCounts(outputSplits, count, group.size, "nn.gather");
    reads([x]);
    return async (tape, own) => {
      const input = constant(x);
      return { y: valuesOf(await steps.gather(tape, input, counts, root, own)), x: valuesOf(input) };
    };
  });
}
