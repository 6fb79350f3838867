/** The one place where a tensor is told from all else, and in which memory it lies. */
import { describeCuda, isCuda } from "./cuda.ts";
import { describeGpu, isGpu } from "./gpu.ts";
import { describeHost } from "./host.ts";
import { describeOrt, isOrt } from "./ort.ts";
import type { TensorView } from "./view.ts";

/**
 * The view of `tensor`.
 * @throws TypeError or RangeError that says why it is no tensor, or not a usable one; UnsupportedError for an ort.Tensor that
 * lies in memory which webccl cannot reach.
 */
export function describe(tensor: unknown): TensorView {
  if (ArrayBuffer.isView(tensor)) return describeHost(tensor);
  if (isGpu(tensor)) return describeGpu(tensor);
  if (isCuda(tensor)) return describeCuda(tensor);
  return isOrt(tensor) ? describeOrt(tensor) : describeHost(tensor);
}

/** {@link describe}, whose error begins with `name`, by which the caller knows the tensor. */
export function describeArgument(tensor: unknown, name: string): TensorView {
  return named(name, () => describe(tensor));
}

/** {@link describeArgument} of each tensor of the list `name`. */
export function describeList(tensors: readonly unknown[], name: string): TensorView[] {
  const views: TensorView[] = [];
  for (let i = 0; i < tensors.length; i++) {
    try {
      views.push(describe(tensors[i]));
    } catch (error) {
      // The name is put together for an error alone: a list may be long.
      throw namedError(`${name}[${i}]`, error as Error);
    }
  }
  return views;
}

/** What `check` gives; its error, of the same class, begins with `name`. */
export function named<T>(name: string, check: () => T): T {
  try {
    return check();
  } catch (error) {
    throw namedError(name, error as Error);
  }
}

function namedError(name: string, error: Error): Error {
  const ErrorClass = error.constructor as ErrorConstructor;
  return new ErrorClass(`${name}: ${error.message}`, { cause: error });
}
