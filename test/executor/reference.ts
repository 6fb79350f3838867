/**
 * The result that every kernel must give, worked out one element at a time in the slowest and plainest way: integers as bigints,
 * floats through DataView, f16 through another library, bf16 by comparing distances.
 */
import { getFloat16, setFloat16 } from "@petamoriken/float16";
import type { ReduceOpName } from "../../src/reduce-op.ts";
import { bytesPerElement, type DataType, isFloat } from "../../src/types.ts";

export type SimpleOp = Exclude<ReduceOpName, "custom" | "avg" | "premul-sum">;
const FLOAT_OPS: readonly SimpleOp[] = ["sum", "product", "min", "max"];
const INTEGER_OPS: readonly SimpleOp[] = [...FLOAT_OPS, "band", "bor", "bxor"];

export function opsFor(dtype: DataType): readonly SimpleOp[] {
  return isFloat(dtype) ? FLOAT_OPS : INTEGER_OPS;
}

function isSignedInteger(dtype: DataType): boolean {
  return dtype === "i8" || dtype === "i16" || dtype === "i32" || dtype === "i64";
}

/** The bf16 pattern nearest to an f32, found among the two around it. */
function nearestBf16(value: number): number {
  const view = new DataView(new ArrayBuffer(4));
  if (Number.isNaN(value)) return 0x7fc0;
  view.setFloat32(0, value);
  const below = view.getUint16(0); // Cut off: the one nearer to zero.
  if (!Number.isFinite(view.getFloat32(0))) return below;
  const patternValue = (pattern: number) => {
    view.setUint32(0, pattern * 65_536);
    return view.getFloat32(0);
  };
  const above = below + 1;
  // The pattern after the largest finite one stands for 2^128, when it comes to distances.
  const upper = Number.isFinite(patternValue(above)) ? patternValue(above) : Math.sign(value) * 2 ** 128;
  const toBelow = Math.abs(value - patternValue(below));
  const toAbove = Math.abs(upper - value);
  if (toBelow !== toAbove) return toBelow < toAbove ? below : above;
  return below % 2 === 0 ? below : above;
}

/** Reads a float as its exact value. */
function readFloat(dtype: DataType, view: DataView, at: number): number {
  if (dtype === "f64") return view.getFloat64(at, true);
  if (dtype === "f32") return view.getFloat32(at, true);
  if (dtype === "f16") return getFloat16(view, at, true);
  const wide = new DataView(new ArrayBuffer(4));
  wide.setUint16(0, view.getUint16(at, true));
  return wide.getFloat32(0);
}

/** Rounds an exact or f64 result to f32 (except for f64) and then to the dtype; every NaN is the canonical one. */
export function writeFloat(dtype: DataType, view: DataView, at: number, value: number): void {
  if (dtype === "f64") {
    if (Number.isNaN(value)) view.setBigUint64(at, 0x7ff8000000000000n, true);
    else view.setFloat64(at, value, true);
  } else if (dtype === "f32") {
    if (Number.isNaN(value)) view.setUint32(at, 0x7fc00000, true);
    else view.setFloat32(at, value, true);
  } else if (dtype === "f16") {
    if (Number.isNaN(value)) view.setUint16(at, 0x7e00, true);
    else setFloat16(view, at, Math.fround(value), true);
  } else {
    view.setUint16(at, nearestBf16(Math.fround(value)), true);
  }
}

function combineFloats(op: SimpleOp, a: number, b: number): number {
  if (op === "sum") return a + b;
  if (op === "product") return a * b;
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.NaN;
  const aFirst = a < b || (a === b && (Object.is(a, -0) || !Object.is(b, -0)));
  return aFirst === (op === "min") ? a : b;
}

function readInteger(dtype: DataType, view: DataView, at: number): bigint {
  const width = bytesPerElement(dtype);
  const bits =
    width === 8
      ? view.getBigUint64(at, true)
      : BigInt(width === 4 ? view.getUint32(at, true) : width === 2 ? view.getUint16(at, true) : view.getUint8(at));
  return isSignedInteger(dtype) ? BigInt.asIntN(8 * width, bits) : bits;
}

function writeInteger(dtype: DataType, view: DataView, at: number, value: bigint): void {
  const width = bytesPerElement(dtype);
  const bits = BigInt.asUintN(8 * width, value);
  if (width === 8) view.setBigUint64(at, bits, true);
  else if (width === 4) view.setUint32(at, Number(bits), true);
  else if (width === 2) view.setUint16(at, Number(bits), true);
  else view.setUint8(at, Number(bits));
}

function combineIntegers(op: SimpleOp, a: bigint, b: bigint): bigint {
  if (op === "sum") return a + b;
  if (op === "product") return a * b;
  if (op === "min") return a < b ? a : b;
  if (op === "max") return a > b ? a : b;
  if (op === "band") return a & b;
  return op === "bor" ? a | b : a ^ b;
}

/** left op right over whole arrays of bytes. */
export function referenceFold(op: SimpleOp, dtype: DataType, left: Uint8Array, right: Uint8Array): Uint8Array {
  const result = new Uint8Array(left.byteLength);
  const [out, l, r] = [result, left, right].map((x) => new DataView(x.buffer, x.byteOffset, x.byteLength)) as [
    DataView,
    DataView,
    DataView,
  ];
  for (let at = 0; at < left.byteLength; at += bytesPerElement(dtype)) {
    if (isFloat(dtype)) {
      writeFloat(dtype, out, at, combineFloats(op, readFloat(dtype, l, at), readFloat(dtype, r, at)));
    } else {
      writeInteger(dtype, out, at, combineIntegers(op, readInteger(dtype, l, at), readInteger(dtype, r, at)));
    }
  }
  return result;
}

/** Each element by itself: floats by `float`, integers by `integer`. */
export function referenceMap(
  dtype: DataType,
  input: Uint8Array,
  float: (x: number) => number,
  integer: (x: bigint) => bigint,
): Uint8Array {
  const result = new Uint8Array(input.byteLength);
  const out = new DataView(result.buffer);
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  for (let at = 0; at < input.byteLength; at += bytesPerElement(dtype)) {
    if (isFloat(dtype)) writeFloat(dtype, out, at, float(readFloat(dtype, view, at)));
    else writeInteger(dtype, out, at, integer(readInteger(dtype, view, at)));
  }
  return result;
}
