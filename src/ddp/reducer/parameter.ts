/** The parameters of a model: their checks, and how an error names one. */
import { UnsupportedError } from "../../errors.ts";
import { requireApart } from "../../group/claims.ts";
import { textOf } from "../../support/thrown.ts";
import { describeArgument } from "../../tensor/describe.ts";
import type { GpuView, HostView } from "../../tensor/view.ts";
import { isFloat, type ShapedTensor, type Tensor } from "../../types.ts";
import { countOf } from "../grad-bucket.ts";
import type { NamedTensor } from "../verify-params.ts";

/** A parameter whose tensor has been looked at. */
export interface KnownParameter extends NamedTensor {
  readonly view: HostView | GpuView;
}

/**
 * The parameters, each with its view.
 * @throws TypeError if it is not a list, or a parameter is not of a float dtype.
 * @throws RangeError if the list is empty, or a shape does not have the tensor's count.
 * @throws UnsupportedError for a parameter in CUDA memory.
 */
export function knownParameters(where: string, parameters: readonly NamedTensor[]): readonly KnownParameter[] {
  if (!Array.isArray(parameters)) throw new TypeError(`${where}: parameters must be a list of { tensor, shape }`);
  if (parameters.length === 0) throw new RangeError(`${where}: there are no parameters`);
  return parameters.map((parameter: NamedTensor, index) => {
    const name = `${where}: ${nameOfParameter(parameters, index)}`;
    if (typeof parameter !== "object" || parameter === null || !Array.isArray(parameter.shape)) {
      throw new TypeError(`${name} is not of the form { tensor, shape }`);
    }
    const view = describeArgument(parameter.tensor, name);
    checkShape(name, parameter.shape, view.count);
    if (!isFloat(view.dtype)) throw new TypeError(`${name} is of dtype ${view.dtype}: gradients are floats`);
    if (view.memory === "cuda") {
      throw new UnsupportedError(`${name} is in CUDA memory: parameters are in host memory or in GPUBuffers`);
    }
    return { ...parameter, shape: [...parameter.shape], view };
  });
}

/** @throws TypeError if two parameters share memory: each would be updated there. */
export function requireOwnMemory(where: string, parameters: readonly KnownParameter[]): void {
  const owner = (index: number) => nameOfParameter(parameters, index);
  try {
    requireApart(parameters.map(({ view }, index) => [{ view, written: true, owner: owner(index) }]));
  } catch (cause) {
    throw new TypeError(
      `${where}: ${textOf(cause)}: give a weight that is used in several places once, with the sum of its gradients`,
      { cause },
    );
  }
}

/**
 * The tensor of a gradient of parameter `index`.
 * @throws TypeError if its dtype or memory is not the parameter's. @throws RangeError if its count or shape is not.
 */
export function checkedGradient(
  caller: string,
  parameters: readonly KnownParameter[],
  index: number,
  gradient: Tensor | ShapedTensor,
): Tensor {
  const name = `${caller}: the gradient of ${nameOfParameter(parameters, index)}`;
  const { view: own, shape: ownShape } = parameters[index]!;
  const isShaped = typeof gradient === "object" && gradient !== null && "shape" in gradient;
  const tensor = isShaped ? gradient.tensor : gradient;
  const { dtype, memory, count } = describeArgument(tensor, name);
  if (dtype !== own.dtype) throw new TypeError(`${name} is of dtype ${dtype}, and the parameter of ${own.dtype}`);
  if (memory !== own.memory) throw new TypeError(`${name} is in ${memory} memory, and the parameter in ${own.memory}`);
  if (isShaped) checkShape(name, gradient.shape, count);
  const differs = isShaped ? gradient.shape.join() !== ownShape.join() : count !== own.count;
  if (differs) {
    const given = isShaped ? `the shape [${gradient.shape.join(", ")}]` : `${count} elements`;
    throw new RangeError(`${name} has ${given}, and the parameter the shape [${ownShape.join(", ")}]`);
  }
  return tensor;
}

/** @throws RangeError if `shape` is not a list of lengths, or not that of `count` elements. */
function checkShape(name: string, shape: readonly number[], count: number): void {
  const whole = Array.isArray(shape) && shape.every((length) => Number.isSafeInteger(length) && length >= 0);
  if (whole && countOf(shape) === count) return;
  throw new RangeError(`${name} has the shape [${String(shape)}], and its tensor has ${count} elements`);
}

/** How errors name a parameter: by its index, and by its name if it has one. */
export function nameOfParameter(parameters: readonly NamedTensor[], index: number): string {
  const name = parameters[index]?.name;
  return name === undefined ? `parameter ${index}` : `parameter ${index} (${JSON.stringify(name)})`;
}

/** The indices of the parameters of each dtype and kind of memory, in their order. */
export function indicesByKind(parameters: readonly KnownParameter[]): number[][] {
  const kinds = new Map<string, number[]>();
  for (const [index, { view }] of parameters.entries()) {
    const kind = `${view.dtype} ${view.memory}`;
    kinds.set(kind, [...(kinds.get(kind) ?? []), index]);
  }
  return [...kinds.values()];
}
