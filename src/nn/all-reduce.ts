import type { ProcessGroup } from "../group/process-group.ts";
import { OP_OPTIONS, type OpOptions } from "../options.ts";
import type { Tensor } from "../types.ts";
import { checkReduction, checkTensor } from "./checks.ts";
import { valuesOf } from "./forms.ts";
import { type Differentiable, differentiable } from "./pullback.ts";
import { reduceScatter, sum } from "./steps/collective.ts";
import { backOfReduction } from "./steps/reduction.ts";
import { constant, recordedOne } from "./steps/variable.ts";

/**
 * `group.allReduce` with a gradient: y = x0 op x1 op … on every rank, as a new tensor.
 *
 * | op         | gradient of rank r's x, with G the sum of all ranks' gy   | collectives of the pullback            |
 * | ---------- | --------------------------------------------------------- | -------------------------------------- |
 * | sum        | G                                                         | allReduce                              |
 * | avg        | G / size                                                  | allReduce                              |
 * | premul-sum | this rank's factor times G                                | allReduce                              |
 * | min, max   | G where rank r is the lowest one with y's bits, else 0    | allReduce; the forward call has another of i32, to find the owner |
 * | product    | G times the product of the other ranks' x, never divided  | reduceScatter and two allToAll, of size shares: 3 (size − 1) / size times the tensor's bytes |
 *
 * @throws TypeError for integers, for bitwise and custom operations; UnsupportedError for f64 in a GPUBuffer and for CUDA memory.
 */
export function allReduce(group: ProcessGroup, x: Tensor, options: OpOptions = {}): Differentiable<Tensor, Tensor> {
  return differentiable("nn.allReduce", group, OP_OPTIONS, options, (reads) => {
    const { dtype } = checkTensor(group, x, "nn.allReduce: x");
    const reduction = checkReduction("nn.allReduce", options.op, dtype, group.size);
    reads([x]);
    return async (tape, own) => {
      const input = constant(reduction.kind === "product" ? tape.math.cloneOf(x) : x);
      const y = tape.math.cloneOf(x);
      await group.allReduce(y, { ...own, op: reduction.op });
      const back = await backOfReduction(tape, reduction, input, y, {
        whole: sum,
        shares: (again, parts) => reduceScatter(again, parts),
      });
      return { y: valuesOf(recordedOne([input], y, back)), x: valuesOf(input) };
    };
  });
}
