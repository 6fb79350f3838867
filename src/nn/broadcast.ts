import { checkRank } from "../group/checks.ts";
import type { ProcessGroup } from "../group/process-group.ts";
import { ROOT_OPTIONS, type RootOptions } from "../options.ts";
import type { Tensor } from "../types.ts";
import { checkTensor } from "./checks.ts";
import { valuesOf } from "./forms.ts";
import { type Differentiable, differentiable } from "./pullback.ts";
import * as steps from "./steps/collective.ts";
import { constant } from "./steps/variable.ts";

/**
 * `group.broadcast` with a gradient: y is root's x on every rank, as a new tensor; x has the same dtype and count everywhere. The
 * gradient of root's x is the sum of all ranks' gy (a reduce), that of the other ranks' x is zeros.
 *
 * @throws TypeError for integers; RangeError if there is no such root; UnsupportedError for f64 in a GPUBuffer and for CUDA memory.
 */
export function broadcast(group: ProcessGroup, x: Tensor, options: RootOptions = {}): Differentiable<Tensor, Tensor> {
  return differentiable("nn.broadcast", group, ROOT_OPTIONS, options, (reads) => {
    const { root = 0 } = options;
    checkRank(root, group.size, "nn.broadcast: root");
    checkTensor(group, x, "nn.broadcast: x");
    reads([x]);
    return async (tape, own) => {
      const input = constant(x);
      return { y: valuesOf(await steps.broadcast(tape, input, root, own)), x: valuesOf(input) };
    };
  });
}
