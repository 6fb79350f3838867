/**
 * Form: how the caller has the arguments or the results of a function: one tensor, one with its shape, a list of forms, or null
 * where a rank has none.
 */
import { describe, describeArgument } from "../tensor/describe.ts";
import { isWhole } from "../tensor/field-checks.ts";
import type { ShapedTensor, Tensor } from "../types.ts";
import type { Variable } from "./steps/variable.ts";

/** One tensor of a form. */
export interface Leaf {
  readonly variable: Variable;
  /** The caller has it as a ShapedTensor of this shape. */
  readonly shape?: readonly number[];
  /** A gradient of it may be a ShapedTensor, whose first dimension this number must divide. */
  readonly divisor?: number;
}

export type Form = Leaf | null | readonly Form[];

/** The form, and variables that belong to it on all ranks, though this rank's caller has no tensors for them. */
export interface Values {
  readonly form: Form;
  readonly hidden: readonly Variable[];
}

/** The values of one variable, or of a list of them. */
export function valuesOf(variables: Variable | readonly Variable[]): Values {
  const form = "tensor" in variables ? { variable: variables } : variables.map((variable) => ({ variable }));
  return { form, hidden: [] };
}

function isList(form: Form): form is readonly Form[] {
  return Array.isArray(form);
}

export function isShaped(value: unknown): value is ShapedTensor {
  return typeof value === "object" && value !== null && "tensor" in value && "shape" in value;
}

/** The variables of a form, from the first to the last. */
export function variablesOf(form: Form): Variable[] {
  if (form === null) return [];
  return isList(form) ? form.flatMap(variablesOf) : [form.variable];
}

/** The same form with other variables, of which `next` gives one after the other. */
export function withVariables(form: Form, next: () => Variable): Form {
  if (form === null) return null;
  return isList(form) ? form.map((part) => withVariables(part, next)) : { ...form, variable: next() };
}

/** What the caller gets: the tensors in their form. */
export function toCaller(form: Form, tensorOf: (variable: Variable) => Tensor): unknown {
  if (form === null) return null;
  if (isList(form)) return form.map((part) => toCaller(part, tensorOf));
  const tensor = tensorOf(form.variable);
  return form.shape ? { tensor, shape: form.shape } : tensor;
}

/**
 * The gradients that the caller passes for a form, one for each variable.
 * @throws TypeError or RangeError that names the gradient which does not fit, and the reason.
 */
export function fromCaller(form: Form, given: unknown, name: string): Tensor[] {
  if (form === null) {
    if (given === null) return [];
    throw new TypeError(`${name} must be null: this rank had null where other ranks had tensors`);
  }
  if (!isList(form)) return [gradientOf(form, given, name)];
  if (!Array.isArray(given)) throw new TypeError(`${name} must be a list of ${form.length}, got ${typeof given}`);
  if (given.length !== form.length) {
    throw new RangeError(`${name} is a list of ${given.length}, and ${form.length} are needed`);
  }
  return form.flatMap((part, i) => fromCaller(part, given[i], `${name}[${i}]`));
}

function gradientOf({ variable, divisor }: Leaf, given: unknown, name: string): Tensor {
  const shaped = isShaped(given) && divisor !== undefined;
  const tensor = shaped ? given.tensor : (given as Tensor);
  const [view, own] = [describeArgument(tensor, name), describe(variable.tensor)];
  const shape = shaped ? checkShape(given, name) : [view.count];
  if (divisor !== undefined) checkDivisible(shape, divisor);
  if (view.dtype !== own.dtype) {
    throw new TypeError(`${name} is ${view.dtype}, and the tensor whose gradient it is, is ${own.dtype}`);
  }
  if (view.count !== own.count) {
    throw new RangeError(`${name} has ${view.count} elements, and the tensor whose gradient it is has ${own.count}`);
  }
  if (view.memory !== own.memory) {
    throw new TypeError(
      `${name} lies in ${view.memory} memory, and the tensor whose gradient it is in ${own.memory} memory`,
    );
  }
  return tensor;
}

/** @throws RangeError if the shape's first dimension is no multiple of `size`. */
export function checkDivisible(shape: readonly number[], size: number): void {
  if ((shape[0] ?? 1) % size !== 0) {
    throw new RangeError(
      `Tensor with dimensions: [${shape.join(", ")}] does not have first dimension divisible by world_size: ${size}`,
    );
  }
}

/**
 * A copy of the shape.
 * @throws TypeError if it is no list of whole numbers. @throws RangeError if it is not that of so many elements.
 */
export function checkShape({ tensor, shape }: ShapedTensor, name: string): readonly number[] {
  const { count } = describeArgument(tensor, name);
  if (!Array.isArray(shape) || !Array.from(shape).every(isWhole)) {
    throw new TypeError(`${name}: the shape must be a list of whole numbers, got ${String(shape)}`);
  }
  const needed = shape.reduce((product, length) => product * length, 1);
  if (needed !== count) {
    throw new RangeError(`${name} has ${count} elements, and its shape [${shape.join(", ")}] has ${needed}`);
  }
  return [...shape];
}
