/**
 * GradBucket: the gradients of several parameters, one behind the other in one flat buffer, as a comm hook gets them.
 *
 * Source: torch.distributed.GradBucket (torch/csrc/distributed/c10d/comm.hpp).
 */
import { describe } from "../tensor/describe.ts";
import { partOfTensor } from "../tensor/part.ts";
import type { ShapedTensor, Tensor } from "../types.ts";

/** The parts of a {@link GradBucket}. */
export interface GradBucketParts {
  /** Which bucket of the Reducer it is, from 0 on. */
  index: number;
  /** All gradients, flat. */
  buffer: Tensor;
  /** The first element of each gradient in `buffer`; there may be unused elements between two gradients. */
  offsets: readonly number[];
  /** The parameters, whose shapes are those of the gradients. */
  parameters: readonly ShapedTensor[];
  /** Is it the last bucket of the step? */
  isLast: boolean;
}

/** The elements of a tensor of this shape. */
export function countOf(shape: readonly number[]): number {
  return shape.reduce((count, length) => count * length, 1);
}

/** A bucket of gradients. Its methods are those of PyTorch's class of this name. */
export class GradBucket {
  readonly #parts: GradBucketParts;
  #buffer: Tensor;

  /** @throws RangeError if a gradient does not lie within the buffer, or if there is no offset for each parameter. */
  constructor(parts: GradBucketParts) {
    const { offsets, parameters, buffer } = parts;
    if (offsets.length !== parameters.length) {
      throw new RangeError(`a bucket of ${parameters.length} parameters has ${offsets.length} offsets`);
    }
    this.#parts = parts;
    this.#buffer = buffer;
    this.gradients();
  }

  /** Which bucket it is. Unstable until the buckets are rebuilt, after the first iteration. */
  index(): number {
    return this.#parts.index;
  }

  /** The flat buffer of all gradients. */
  buffer(): Tensor {
    return this.#buffer;
  }

  /** The gradient of each parameter: a view of the buffer, with the parameter's shape. */
  gradients(): ShapedTensor[] {
    return this.#parts.parameters.map(({ shape }, i) => ({
      tensor: partOfTensor(this.#buffer, this.#parts.offsets[i] ?? 0, countOf(shape)),
      shape,
    }));
  }

  /** The parameters, in the order of the gradients. */
  parameters(): readonly ShapedTensor[] {
    return this.#parts.parameters;
  }

  /** Is it the last bucket of an iteration to be reduced? */
  isLast(): boolean {
    return this.#parts.isLast;
  }

  /**
   * Puts another tensor in place of the buffer.
   * @throws TypeError if its dtype differs. @throws RangeError if its count differs.
   */
  setBuffer(buffer: Tensor): void {
    const [before, after] = [describe(this.#buffer), describe(buffer)];
    if (after.dtype !== before.dtype) {
      throw new TypeError(`a bucket of ${before.dtype} gradients cannot have a buffer of ${after.dtype}`);
    }
    if (after.count !== before.count) {
      throw new RangeError(`a bucket of ${before.count} elements cannot have a buffer of ${after.count}`);
    }
    this.#buffer = buffer;
  }
}
