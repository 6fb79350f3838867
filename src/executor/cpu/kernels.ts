/**
 * Kernels: the arithmetic of the cpu executor, done twice with the same bits, by WebAssembly and by plain loops.
 */
import { changesInputs, type ReduceOp } from "../../reduce-op.ts";
import { type DataType, isFloat } from "../../types.ts";
import type { Packing } from "../executor.ts";
import type { HostSpan } from "./host-span.ts";

/** The operations that kernels fold. AVG and PREMUL_SUM fold as sum. */
export const FOLD_NAMES = ["sum", "product", "min", "max", "band", "bor", "bxor"] as const;
export type FoldName = (typeof FOLD_NAMES)[number];

/** One set of kernels, for every dtype except the 8-bit floats (float8.ts). Spans have equal dtypes and counts; `target` is an operand or disjoint from both. */
export interface Kernels {
  /** "wasm-simd …" or "plain loops: why". */
  readonly description: string;
  /** target = left op right. The bitwise three are for integers only. */
  fold(name: FoldName, target: HostSpan, left: HostSpan, right: HostSpan): void;
  /** span = span * factor, with a factor that {@link inputFactor} gave. */
  scale(span: HostSpan, factor: number | bigint): void;
  /** span = span / divisor, truncated; integers only, divisor from 1 to 2^22. */
  divide(span: HostSpan, divisor: number): void;
  /** {@link Executor.packing}. */
  packing(parts: readonly HostSpan[], starts: readonly number[]): Packing;
}

const SIGNED: Readonly<Record<DataType, DataType>> = {
  ...{ i8: "i8", u8: "i8", i16: "i16", u16: "i16", i32: "i32", u32: "i32", i64: "i64", u64: "i64" },
  ...{ f16: "f16", bf16: "bf16", f32: "f32", f64: "f64", f8e4m3: "f8e4m3", f8e5m2: "f8e5m2" },
};

/** The lanes in which sum, product and scale run: wrapping makes no difference between signed and unsigned. */
export function signedLane(dtype: DataType): DataType {
  return SIGNED[dtype];
}

/**
 * The factor by which `op` multiplies each input before the fold, as the kernels for `dtype` take it; null if it leaves them alone.
 * @throws TypeError if `dtype` is an integer type and PREMUL_SUM's factor is not a whole number.
 */
export function inputFactor(op: ReduceOp, dtype: DataType, size: number): number | bigint | null {
  if (!changesInputs(op, dtype)) return null;
  return factorOf(dtype, op.name === "premul-sum" ? op.factor : 1 / size);
}

/**
 * `factor` as the kernels for `dtype` take it: a number for f64, f32's value for the other floats, a wrapped integer
 * (a bigint for 64 bits) for integers.
 */
function factorOf(dtype: DataType, factor: number | bigint): number | bigint {
  if (dtype === "f64") return Number(factor);
  if (isFloat(dtype)) return Math.fround(Number(factor));
  if (typeof factor === "number" && !Number.isInteger(factor)) {
    throw new TypeError(`premulSum: a ${dtype} tensor takes a whole factor, got ${factor}`);
  }
  if (dtype === "i64" || dtype === "u64") return BigInt.asIntN(64, BigInt(factor));
  return Number(BigInt.asIntN(32, BigInt(factor)));
}
