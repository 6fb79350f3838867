/**
 * The result that every kernel must give, worked out one element at a time in the slowest and plainest way: integers as bigints,
 * floats through DataView, f16 through another library, bf16 and the 8-bit floats by comparing distances.
 */
import { getFloat16, setFloat16 } from "@petamoriken/float16";
import type { ReduceOpName } from "../../src/reduce-op.ts";
import { bytesPerElement, type DataType, type Float8, isFloat, isFloat8 } from "../../src/types.ts";

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

/** The value of an 8-bit float: f8e5m2 is the upper byte of an f16, and f8e4m3 an f16 whose exponent is one bit shorter. */
function float8Value(dtype: Float8, bits: number): number {
  const half = new DataView(new ArrayBuffer(2));
  if (dtype === "f8e5m2") {
    half.setUint8(0, bits);
    return getFloat16(half, 0);
  }
  if ((bits & 0x7f) === 0x7f) return Number.NaN;
  // The biases, 7 and 15, are 8 apart.
  half.setUint16(0, ((bits & 0x80) << 8) | ((bits & 0x7f) << 7));
  return getFloat16(half, 0) * 2 ** 8;
}

const FLOAT8_MAGNITUDES = {
  f8e4m3: Array.from({ length: 0x7f }, (_, bits) => float8Value("f8e4m3", bits)),
  // The pattern of Inf stands for 2^16, when it comes to distances.
  f8e5m2: [...Array.from({ length: 0x7c }, (_, bits) => float8Value("f8e5m2", bits)), 2 ** 16],
};

/** Results of {@link nearestFloat8}, by magnitude: pairs of 8-bit floats have few different sums. */
const nearestMagnitudes = { f8e4m3: new Map<number, number>(), f8e5m2: new Map<number, number>() };

/** The pattern of the 8-bit float nearest to a value, of all there are; of two, the even one. f8e4m3 has no larger than 448. */
function nearestFloat8(dtype: Float8, value: number): number {
  if (Number.isNaN(value)) return 0x7f;
  const sign = value < 0 || Object.is(value, -0) ? 0x80 : 0;
  const magnitudes = FLOAT8_MAGNITUDES[dtype];
  const magnitude = Math.min(Math.abs(value), magnitudes.at(-1)!);
  const known = nearestMagnitudes[dtype].get(magnitude);
  if (known !== undefined) return sign | known;
  let nearest = 0;
  magnitudes.forEach((candidate, bits) => {
    const [distance, best] = [Math.abs(candidate - magnitude), Math.abs(magnitudes[nearest]! - magnitude)];
    if (distance < best || (distance === best && bits % 2 === 0)) nearest = bits;
  });
  nearestMagnitudes[dtype].set(magnitude, nearest);
  return sign | nearest;
}

/** Reads a float as its exact value. */
function readFloat(dtype: DataType, view: DataView, at: number): number {
  if (dtype === "f64") return view.getFloat64(at, true);
  if (dtype === "f32") return view.getFloat32(at, true);
  if (dtype === "f16") return getFloat16(view, at, true);
  if (isFloat8(dtype)) return float8Value(dtype, view.getUint8(at));
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
  } else if (isFloat8(dtype)) {
    view.setUint8(at, nearestFloat8(dtype, Math.fround(value)));
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
