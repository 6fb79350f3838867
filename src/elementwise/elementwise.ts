/**
 * Elementwise: one rank's own arithmetic on its tensors, wherever they lie. Arrays are computed by plain loops, GPUBuffers by WGSL
 * on the group's device; the bits are those of docs/arithmetic.md: a float result is rounded to the dtype once, to nearest, ties
 * to even, f8e4m3 saturates, and every NaN is the canonical one. Integers wrap.
 *
 * Results are new tensors in the operand's memory, or `target` where one is given, which may be an operand. A new GPUBuffer is
 * the caller's to destroy. Commands for a GPU are submitted when a call returns.
 */
import { UnsupportedError } from "../errors.ts";
import { describe } from "../tensor/describe.ts";
import type { GpuView, HostView, TensorView } from "../tensor/view.ts";
import type { DataType, Tensor } from "../types.ts";
import type { BinaryName, Elements } from "./elements.ts";
import { GpuElements } from "./gpu-elements.ts";
import { hostElements } from "./host-elements.ts";

/** See the file's head. */
export class Elementwise {
  readonly #gpu: GpuElements | null;

  /** `device` is that of the GPUBuffers, or null where there are none. */
  constructor(device: GPUDevice | null) {
    this.#gpu = device && new GpuElements(device);
  }

  /** `count` zeros of `dtype` in the memory of `like`; by default as many as it has, of its dtype. */
  zerosLike(like: Tensor, { dtype, count }: { dtype?: DataType; count?: number } = {}): Tensor {
    const view = describe(like);
    return this.#elementsOf(view).alloc(dtype ?? view.dtype, count ?? view.count);
  }

  /** A copy of `tensor`. */
  cloneOf(tensor: Tensor): Tensor {
    return this.slice(tensor, 0, describe(tensor).count);
  }

  /**
   * A copy of elements `start` to `start + count`, which may begin anywhere.
   * @throws RangeError if the tensor does not hold them.
   */
  slice(tensor: Tensor, start: number, count: number): Tensor {
    const result = this.zerosLike(tensor, { count });
    this.copy(result, 0, tensor, start, count);
    return result;
  }

  /** The elements of all tensors, one tensor behind the other; all of one dtype and memory, and at least one tensor. */
  concat(tensors: readonly [Tensor, ...Tensor[]]): Tensor {
    const counts = tensors.map((tensor) => describe(tensor).count);
    const result = this.zerosLike(tensors[0], { count: counts.reduce((sum, count) => sum + count, 0) });
    let start = 0;
    tensors.forEach((tensor, i) => {
      const count = counts[i] ?? 0;
      this.copy(result, start, tensor, 0, count);
      start += count;
    });
    return result;
  }

  /**
   * `count` elements of `source` into `target`. Equal dtypes; they have no memory in common.
   * @throws RangeError if one of them does not hold the elements.
   */
  copy(target: Tensor, targetStart: number, source: Tensor, sourceStart: number, count: number): void {
    const [to, from] = [describe(target), describe(source)];
    requireSame("copy", "dtype", to, from);
    requireElements(to, targetStart, count);
    requireElements(from, sourceStart, count);
    this.#elementsOf(to, from).copy(to, targetStart, from, sourceStart, count);
  }

  /**
   * The elements as floats of `dtype`. What is shorter than f32 goes through f32.
   * @throws TypeError if one of the dtypes is an integer's.
   */
  convert(tensor: Tensor, dtype: DataType, target = this.zerosLike(tensor, { dtype })): Tensor {
    const [to, from] = [describe(target), describe(tensor)];
    if (to.dtype !== dtype) throw new TypeError(`convert: the target is ${to.dtype}, and dtype is ${dtype}`);
    requireSame("convert", "count", to, from);
    this.#elementsOf(to, from).convert(to, from);
    return target;
  }

  /**
   * Each element times `factor`: the f32 nearest to it, for floats of up to 32 bits.
   * @throws RangeError if the elements are integers and the factor is not a whole number.
   */
  scale(tensor: Tensor, factor: number, target = this.zerosLike(tensor)): Tensor {
    const [to, from] = [describe(target), describe(tensor)];
    requireAlike("scale", to, from);
    this.#elementsOf(to, from).scale(to, from, factor);
    return target;
  }

  add(left: Tensor, right: Tensor, target?: Tensor): Tensor {
    return this.#binary("add", left, right, target);
  }

  subtract(left: Tensor, right: Tensor, target?: Tensor): Tensor {
    return this.#binary("subtract", left, right, target);
  }

  multiply(left: Tensor, right: Tensor, target?: Tensor): Tensor {
    return this.#binary("multiply", left, right, target);
  }

  /** An i32 tensor: `rank` where x and y have the same bits, or where both are NaN; else `none`. */
  rankWhereEqual(x: Tensor, y: Tensor, rank: number, none: number): Tensor {
    const target = this.zerosLike(x, { dtype: "i32" });
    const [to, a, b] = [describe(target), describe(x), describe(y)];
    requireAlike("rankWhereEqual", a, b);
    this.#elementsOf(to, a, b).rankWhereEqual(to, a, b, rank, none);
    return target;
  }

  /** `gradient` where the i32 tensor `owner` is `rank`; else 0. */
  whereOwner(gradient: Tensor, owner: Tensor, rank: number): Tensor {
    const target = this.zerosLike(gradient);
    const [to, from, owners] = [describe(target), describe(gradient), describe(owner)];
    requireSame("whereOwner", "count", from, owners);
    this.#elementsOf(to, from, owners).whereOwner(to, from, owners, rank);
    return target;
  }

  #binary(name: BinaryName, left: Tensor, right: Tensor, target = this.zerosLike(left)): Tensor {
    const [to, a, b] = [describe(target), describe(left), describe(right)];
    requireAlike(name, a, b);
    requireAlike(name, to, a);
    this.#elementsOf(to, a, b).binary(name, to, a, b);
    return target;
  }

  /** The operations of the memory that all of `views` lie in. */
  #elementsOf(...views: readonly [TensorView, ...TensorView[]]): Elements<TensorView> {
    const { memory } = views[0];
    const other = views.find((view) => view.memory !== memory);
    if (other) {
      throw new TypeError(
        `one tensor lies in ${memory} memory and another in ${other.memory} memory: move one of them`,
      );
    }
    if (memory === "host") return hostElements as Elements<HostView> as Elements<TensorView>;
    if (memory === "cuda") {
      throw new UnsupportedError(
        "webccl has no arithmetic of its own for a CudaTensor: copy it to a host array with copyTo, or to a GPUBuffer",
      );
    }
    if (!this.#gpu) {
      throw new TypeError(
        "a tensor lies in a GPUBuffer, and the group has no GPUDevice: pass the buffer's device to initProcessGroup",
      );
    }
    return this.#gpu as Elements<GpuView> as Elements<TensorView>;
  }
}

function requireAlike(what: string, a: TensorView, b: TensorView): void {
  requireSame(what, "dtype", a, b);
  requireSame(what, "count", a, b);
}

function requireSame(what: string, field: "dtype" | "count", a: TensorView, b: TensorView): void {
  if (a[field] === b[field]) return;
  const ErrorClass = field === "dtype" ? TypeError : RangeError;
  throw new ErrorClass(`${what}: the ${field} of one tensor is ${a[field]}, and of another ${b[field]}`);
}

function requireElements({ count: has }: TensorView, start: number, count: number): void {
  if (start < 0 || count < 0 || start + count > has) {
    throw new RangeError(`elements ${start} to ${start + count} of a tensor that has ${has}`);
  }
}
