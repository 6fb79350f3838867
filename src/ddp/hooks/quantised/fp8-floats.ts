/** The gradients of a bucket as fp8CompressHook computes with them, in any memory. */
import type { Tensor } from "../../../types.ts";

/** The dtype on the wire. */
export const DTYPE = "f8e4m3";

/** The gradients of a bucket in one kind of memory, and the steps of the hook that compute. */
export interface Floats8 {
  /** The largest finite magnitude; 0 if there is none. */
  largest(): Promise<number>;
  /** The gradients times `scale`, a power of two, as f8e4m3. */
  encode(scale: number): Tensor;
  /** The gradients become the values that `table` has for the bytes that {@link encode} gave, which have changed since. */
  decode(table: Float32Array<ArrayBuffer>): void;
  /** What {@link encode} gave is no longer wanted. */
  discard(): void;
}

/** The largest finite magnitude; 0 if there is none. */
export function largestOf(values: Float32Array): number {
  let most = 0;
  for (let i = 0; i < values.length; i++) {
    const magnitude = Math.abs(values[i]!);
    if (magnitude > most && magnitude < Number.POSITIVE_INFINITY) most = magnitude;
  }
  return most;
}
