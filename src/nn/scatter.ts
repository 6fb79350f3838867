import { checkRank } from "../group/checks.ts";
import type { ProcessGroup } from "../group/process-group.ts";
import type { OptionNames } from "../option-checks.ts";
import { ROOT_OPTIONS, type RootOptions } from "../options.ts";
import type { Tensor } from "../types.ts";
import { checkTensor, checkTensors } from "./checks.ts";
import { valuesOf } from "./forms.ts";
import { type Differentiable, differentiable } from "./pullback.ts";
import * as steps from "./steps/collective.ts";
import { constant } from "./steps/variable.ts";

/** Options of `nn.scatter`. */
export interface ScatterOptions extends RootOptions {
  /** A tensor of the dtype, count and memory of the result; every rank but root passes it, and nothing reads its elements. */
  like?: Tensor;
}

const SCATTER_OPTIONS: OptionNames<ScatterOptions> = { ...ROOT_OPTIONS, like: true };

/**
 * `group.scatter` with a gradient: y is root's `x[rank]`. All of root's tensors have one count. Other ranks pass null for x, and
 * `like`. The gradient of root's `x[r]` is rank r's gy (a gather); on the other ranks the gradient is null.
 *
 * @throws TypeError for integers, if x is not on root alone, or if `like` is missing; RangeError if there is no such root or if the
 * counts differ; UnsupportedError for f64 in a GPUBuffer and for CUDA memory.
 */
export function scatter(
  group: ProcessGroup,
  x: readonly Tensor[] | null,
  options: ScatterOptions = {},
): Differentiable<Tensor, Tensor[] | null> {
  return differentiable("nn.scatter", group, SCATTER_OPTIONS, options, (reads) => {
    const { root = 0, like } = options;
    checkRank(root, group.size, "nn.scatter: root");
    if (group.rank === root) checkEqualCounts(group, x);
    else checkReceiver(group, x, like);
    const given = x?.map(constant);
    reads(x ?? []);
    return async (tape, own) => {
      const inputs = given ?? placeholders(tape.math.zerosLike(like as Tensor), group.size);
      const y = valuesOf(await steps.scatter(tape, inputs, root, own));
      return { y, x: given ? valuesOf(inputs) : { form: null, hidden: inputs } };
    };
  });
}

/** In place of the tensors that root has: the steps are the same on all ranks. They share one tensor, which nothing reads. */
function placeholders(zeros: Tensor, size: number) {
  return Array.from({ length: size }, () => constant(zeros));
}

function checkEqualCounts(group: ProcessGroup, x: readonly Tensor[] | null): void {
  const [first, ...others] = checkTensors(group, x as readonly Tensor[], "nn.scatter: x");
  const other = others.find(({ count }) => count !== first?.count);
  if (other)
    throw new RangeError(
      `nn.scatter: x has tensors of ${first?.count} and of ${other.count} elements: all must be alike`,
    );
}

function checkReceiver(group: ProcessGroup, x: readonly Tensor[] | null, like: Tensor | undefined): void {
  if (x !== null) throw new TypeError("nn.scatter: x is for root alone: pass null and { like }");
  if (like === undefined) {
    throw new TypeError("nn.scatter: a rank that is not root passes { like }, a tensor as the one that it receives");
  }
  checkTensor(group, like, "nn.scatter: like");
}
