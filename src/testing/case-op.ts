/** The operations of the cases. */
import { REDUCE_OP_NAMES, ReduceOp, type ReduceOpName } from "../reduce-op.ts";
import { type DataType, isFloat } from "../types.ts";

/** The operations a case may name; the last two are custom ones, `custom-ordered` neither commutative nor associative. */
export type CaseOp = ReduceOpName | "custom-ordered";

/** The operations of the cases: every one of webccl, and a custom one that is folded in rank order. */
export const CASE_OPS: readonly CaseOp[] = [...REDUCE_OP_NAMES, "custom-ordered"];

/** Is `op` defined for `dtype`? Bitwise operations are for integers, and so is the ordered custom one of these cases. */
export function opFits(op: CaseOp, dtype: DataType): boolean {
  return !isFloat(dtype) || !["band", "bor", "bxor", "custom-ordered"].includes(op);
}

/** The operation that `rank` passes: the factor of premul-sum is its own. */
export function opOfRank(op: CaseOp, dtype: DataType, rank: number): ReduceOp {
  const big = dtype === "i64" || dtype === "u64";
  switch (op) {
    case "premul-sum":
      if (isFloat(dtype)) return ReduceOp.premulSum([2, 0.5, -3, 1][rank % 4] as number);
      return ReduceOp.premulSum(big && rank % 2 === 0 ? BigInt(rank + 2) : rank + 2);
    case "custom":
      return isFloat(dtype) ? LARGEST_MAGNITUDE : big ? CIRCLE_BIG : CIRCLE;
    case "custom-ordered":
      return big ? DIGITS_BIG : DIGITS;
    default:
      return ReduceOp[op.toUpperCase() as "SUM"];
  }
}

/** On the bits, by which NaN is the largest: WGSL's own max may overlook a NaN. */
const LARGEST_MAGNITUDE = ReduceOp.custom({
  name: "largest-magnitude",
  wgsl: "bitcast<f32>(max(bitcast<u32>(a) & 0x7fffffffu, bitcast<u32>(b) & 0x7fffffffu))",
  js: (a: number, b: number) => Math.max(Math.abs(a), Math.abs(b)),
  identity: 0,
  commutative: true,
});

/** a + b + ab, which is (1 + a)(1 + b) - 1: commutative and associative, also modulo 2^n. */
const CIRCLE = ReduceOp.custom({
  ...{ name: "circle", wgsl: "a + b + a * b", identity: 0, commutative: true },
  js: (a: number, b: number) => a + b + Math.imul(a, b),
});
/** WGSL has 64-bit integers as vec2<u32>, low word first: there the two are made of steps without a carry. */
const CIRCLE_BIG = ReduceOp.custom({
  ...{ name: "equal-bits", wgsl: "~(a ^ b)", identity: -1n, commutative: true },
  js: (a: bigint, b: bigint) => ~(a ^ b),
});

/** Appends b to a as a digit to base 31: each order of ranks and each order of steps gives another number. */
const DIGITS = ReduceOp.custom({
  ...{ name: "digits", wgsl: "a * 31 + b", identity: 0, commutative: false },
  js: (a: number, b: number) => a * 31 + b,
});
/** Turns a by one bit before it takes b: as sensitive to order. */
const DIGITS_BIG = ReduceOp.custom({
  ...{ name: "turns", wgsl: "((a << vec2(1u)) | (a.yx >> vec2(31u))) ^ b", identity: 0n, commutative: false },
  js: (a: bigint, b: bigint) => ((a << 1n) | ((a >> 63n) & 1n)) ^ b,
});
