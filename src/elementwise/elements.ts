/** The contract of the elementwise operations in one kind of memory. */
import type { TensorView } from "../tensor/view.ts";
import type { DataType, Tensor } from "../types.ts";

/** The operations that take two tensors of one dtype and count. */
export type BinaryName = "add" | "subtract" | "multiply";

/** The elementwise operations in one kind of memory. Counts and dtypes are right when they are called. */
export interface Elements<V extends TensorView> {
  /** A tensor of zeros. */
  alloc(dtype: DataType, count: number): Tensor;
  /** Elements of `source` into `target`, any number of them from any element on; equal dtypes, no memory in common. */
  copy(target: V, targetStart: number, source: V, sourceStart: number, count: number): void;
  convert(target: V, source: V): void;
  scale(target: V, source: V, factor: number): void;
  binary(name: BinaryName, target: V, left: V, right: V): void;
  /** target[i] = rank where x[i] and y[i] are the same bits, or both NaN; else `none`. */
  rankWhereEqual(target: V, x: V, y: V, rank: number, none: number): void;
  /** target[i] = gradient[i] where owner[i] is `rank`; else 0. */
  whereOwner(target: V, gradient: V, owner: V, rank: number): void;
}
