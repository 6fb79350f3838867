import type { ProcessGroup } from "../group/process-group.ts";
import { OP_OPTIONS, type OpOptions } from "../options.ts";
import { describe } from "../tensor/describe.ts";
import type { ShapedTensor, Tensor } from "../types.ts";
import { checkReduction, checkTensor, checkTensors } from "./checks.ts";
import { checkDivisible, checkShape, isShaped, valuesOf } from "./forms.ts";
import { type Differentiable, differentiable } from "./pullback.ts";
import { backOfOneTensor, backOfScatteredReduction } from "./steps/reduction.ts";
import { constant, recordedOne } from "./steps/variable.ts";

/**
 * `group.reduceScatter` with a gradient: y on rank r is the fold of all ranks' `x[r]`. Lengths may differ by r.
 *
 * With g[r] rank r's gy, the gradient of this rank's `x[r]` is g[r] (sum), g[r] / size (avg), this rank's factor times g[r]
 * (premul-sum), g[r] where this rank is the lowest with the result's bits (min, max), or g[r] times the product of the other
 * ranks' `x[r]` (product). The pullback is an allGather for the first three; else one allToAll (min and max, whose forward call has one
 * too) or two (product), each of x's bytes.
 *
 * @throws TypeError for integers, for bitwise and custom operations; UnsupportedError for f64 in a GPUBuffer and for CUDA memory.
 */
export function reduceScatter(
  group: ProcessGroup,
  x: readonly Tensor[],
  options: OpOptions = {},
): Differentiable<Tensor, Tensor[]> {
  return differentiable("nn.reduceScatter", group, OP_OPTIONS, options, (reads) => {
    const views = checkTensors(group, x, "nn.reduceScatter: x");
    const reduction = checkReduction("nn.reduceScatter", options.op, views[0]?.dtype ?? "f32", group.size);
    const tensors = [...x];
    reads(tensors);
    return async (tape, own) => {
      const inputs = tensors.map((tensor) =>
        constant(reduction.kind === "product" ? tape.math.cloneOf(tensor) : tensor),
      );
      const y = tape.math.zerosLike(tensors[group.rank] as Tensor);
      await group.reduceScatter(y, tensors, { ...own, op: reduction.op });
      const back = await backOfScatteredReduction(tape, reduction, inputs, y);
      return {
        y: valuesOf(recordedOne(inputs, y, (again, [g]) => back(again, g as NonNullable<typeof g>))),
        x: valuesOf(inputs),
      };
    };
  });
}

/**
 * `group.reduceScatterTensor` with a gradient: {@link reduceScatter} from one tensor, cut into equal parts, with the same
 * gradients and collectives. `x` may be a ShapedTensor; then y and the gradient of x are, with the shapes of x.
 *
 * @throws RangeError if the first dimension is no multiple of the group's size: "Tensor with dimensions: [5, 2] does not have
 * first dimension divisible by world_size: 2". A bare tensor's one dimension is its count. Else as {@link reduceScatter}.
 */
export function reduceScatterBase<T extends Tensor | ShapedTensor>(
  group: ProcessGroup,
  x: T,
  options: OpOptions = {},
): Differentiable<T, T> {
  return differentiable("nn.reduceScatterBase", group, OP_OPTIONS, options, (reads) => {
    const tensor = isShaped(x) ? x.tensor : (x as Tensor);
    const { dtype, count } = checkTensor(group, tensor, "nn.reduceScatterBase: x");
    const shape = isShaped(x) ? checkShape(x, "nn.reduceScatterBase: x") : null;
    checkDivisible(shape ?? [count], group.size);
    const reduction = checkReduction("nn.reduceScatterBase", options.op, dtype, group.size);
    reads([tensor]);
    return async (tape, own) => {
      const input = constant(tensor);
      const y = tape.math.zerosLike(tensor, { count: describe(tensor).count / group.size });
      await group.reduceScatterTensor(y, tensor, { ...own, op: reduction.op });
      const output = recordedOne([input], y, await backOfOneTensor(tape, reduction, input, y));
      const [length = 1, ...others] = shape ?? [];
      const shapes = shape ? { x: { shape }, y: { shape: [length / group.size, ...others] } } : {};
      return {
        y: { form: { variable: output, ...shapes.y }, hidden: [] },
        x: { form: { variable: input, ...shapes.x }, hidden: [] },
      };
    };
  });
}
