/** Variable: a tensor, and the step that made it of others. gradient.ts goes back over these steps. */
import type { Tensor } from "../../types.ts";
import type { Tape } from "./tape.ts";

/** An input of the caller has no step. */
export interface Variable {
  readonly tensor: Tensor;
  readonly step: Step | null;
}

/** The gradients of a step's inputs, from those of its outputs. */
export type Backward = (
  tape: Tape,
  gradients: readonly Variable[],
) => Promise<readonly Variable[]> | readonly Variable[];

/** One operation on variables. */
export interface Step {
  readonly inputs: readonly Variable[];
  readonly outputs: readonly Variable[];
  readonly backward: Backward;
}

/** A tensor that nothing here has made. */
export function constant(tensor: Tensor): Variable {
  return { tensor, step: null };
}

/** The variables of the tensors that a step has made of `inputs`. */
export function recorded(inputs: readonly Variable[], tensors: readonly Tensor[], backward: Backward): Variable[] {
  const outputs: Variable[] = [];
  const step = { inputs, outputs, backward };
  for (const tensor of tensors) outputs.push({ tensor, step });
  return outputs;
}

/** {@link recorded}, for a step with one output. */
export function recordedOne(inputs: readonly Variable[], tensor: Tensor, backward: Backward): Variable {
  return recorded(inputs, [tensor], backward)[0] as Variable;
}
