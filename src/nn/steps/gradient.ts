/**
 * Reverse accumulation (Linnainmaa 1970) over the steps that made some variables. The way back is itself made of steps, so a
 * gradient can be differentiated again.
 *
 * All ranks make the same steps in the same order, and go back over them in the same order, so the collectives on the way
 * back meet. Which gradients there are depends on the steps alone, never on values or on the rank.
 */
import { add } from "./local.ts";
import type { Tape } from "./tape.ts";
import { constant, type Step, type Variable } from "./variable.ts";

/** The gradients of `inputs` if those of `outputs` are `cotangents`: for each input the sum over all ways that lead to it, else zeros. */
export async function gradient(
  tape: Tape,
  outputs: readonly Variable[],
  inputs: readonly Variable[],
  cotangents: readonly Variable[],
): Promise<Variable[]> {
  const gradients = new Map<Variable, Variable>();
  const collect = (variable: Variable, part: Variable) => {
    const known = gradients.get(variable);
    gradients.set(variable, known ? add(tape, known, part) : part);
  };
  const zeros = ({ tensor }: Variable) => constant(tape.math.zerosLike(tensor));
  outputs.forEach((output, i) => {
    const cotangent = cotangents[i];
    if (cotangent) collect(output, cotangent);
  });
  for (const step of stepsBetween(inputs, outputs).reverse()) {
    const parts = await step.backward(
      tape,
      step.outputs.map((output) => gradients.get(output) ?? zeros(output)),
    );
    step.inputs.forEach((input, i) => {
      const part = parts[i];
      if (part) collect(input, part);
    });
  }
  return inputs.map((input) => gradients.get(input) ?? zeros(input));
}

/** The steps that lead from an input to an output, each after all that it depends on. */
function stepsBetween(inputs: readonly Variable[], outputs: readonly Variable[]): Step[] {
  const wanted = new Set(inputs);
  const leads = new Map<Step, boolean>();
  const ordered: Step[] = [];
  const visit = (variable: Variable): boolean => {
    const { step } = variable;
    if (wanted.has(variable) || step === null) return wanted.has(variable);
    const known = leads.get(step);
    if (known !== undefined) return known;
    const led = step.inputs.map(visit).includes(true);
    leads.set(step, led);
    if (led) ordered.push(step);
    return led;
  };
  outputs.forEach(visit);
  return ordered;
}
