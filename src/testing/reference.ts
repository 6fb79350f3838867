/**
 * The arithmetic of docs/arithmetic.md a second time, as plainly as it can be said, for tests to compare with. It shares
 * nothing with the executors.
 *
 * Integers: numbers whose store into a typed array wraps, or bigints. Floats: every step is done in doubles and rounded
 * once. That is exact: the sum of two values of at most 24 significant bits, rounded to 53 and then to theirs, is
 * the sum rounded once (S. Figueroa, "When is double rounding innocuous?", doi:10.1145/221332.221334), and their
 * product has at most 48 bits.
 */
import { ReduceOp } from "../reduce-op.ts";
import { type DataType, type HostArray, isFloat } from "../types.ts";

type BigArray = BigInt64Array | BigUint64Array;
type NumberArray = Exclude<HostArray, BigArray>;

/** The floats of 8 and 16 bits, which are held as their bits. */
export type SmallFloat = "f8e4m3" | "f8e5m2" | "f16" | "bf16";

/** The format of one of them. */
interface SmallFormat {
  readonly bits: number;
  readonly mantissaBits: number;
  readonly bias: number;
  /** All magnitudes above it are NaN. It is Infinity, except in f8e4m3, which has none and saturates. */
  readonly largest: number;
  /** The canonical NaN. */
  readonly nan: number;
}

const SMALL_FORMATS: Readonly<Record<SmallFloat, SmallFormat>> = {
  f8e4m3: { bits: 8, mantissaBits: 3, bias: 7, largest: 0x7e, nan: 0x7f },
  f8e5m2: { bits: 8, mantissaBits: 2, bias: 15, largest: 0x7c, nan: 0x7f },
  f16: { bits: 16, mantissaBits: 10, bias: 15, largest: 0x7c00, nan: 0x7e00 },
  bf16: { bits: 16, mantissaBits: 7, bias: 127, largest: 0x7f80, nan: 0x7fc0 },
};

/** Is `dtype` held as bits? */
export function isSmallFloat(dtype: DataType): dtype is SmallFloat {
  return dtype in SMALL_FORMATS;
}

const ARRAY_CLASSES = {
  i8: Int8Array,
  u8: Uint8Array,
  i16: Int16Array,
  u16: Uint16Array,
  i32: Int32Array,
  u32: Uint32Array,
  i64: BigInt64Array,
  u64: BigUint64Array,
  f16: Uint16Array,
  bf16: Uint16Array,
  f32: Float32Array,
  f64: Float64Array,
  f8e4m3: Uint8Array,
  f8e5m2: Uint8Array,
} as const satisfies Record<DataType, unknown>;

/** A new array of `count` zeros, of the class that holds `dtype`; floats of 8 and 16 bits as bits. */
export function arrayOf(dtype: DataType, count: number): HostArray {
  return new ARRAY_CLASSES[dtype](count);
}

/** `count` elements at `byteOffset` of `buffer`, in the class that holds `dtype`. */
export function viewOf(dtype: DataType, buffer: ArrayBuffer, byteOffset: number, count: number): HostArray {
  return new ARRAY_CLASSES[dtype](buffer, byteOffset, count);
}

/** The value of a float of 8 or 16 bits. */
export function decodeSmallFloat(dtype: SmallFloat, bits: number): number {
  return decode(SMALL_FORMATS[dtype], bits);
}

/** The bits of `value`, rounded once, to nearest even. */
export function encodeSmallFloat(dtype: SmallFloat, value: number): number {
  return encode(SMALL_FORMATS[dtype], value);
}

/** One rank's input after the operation's step before the fold; the input itself where there is none. */
export function prepareElements(dtype: DataType, op: ReduceOp, input: HostArray, size: number): HostArray {
  if (op.name === "premul-sum") {
    const { factor } = op;
    if (isBig(input)) return mapBig(input, (value) => value * BigInt(factor));
    return scale(dtype, input, Number(factor));
  }
  if (op.name !== "avg" || !isFloat(dtype)) return input;
  return scale(dtype, input as NumberArray, dtype === "f64" ? 1 / size : Math.fround(1 / size));
}

function scale(dtype: DataType, input: NumberArray, factor: number): HostArray {
  const isInteger = !isFloat(dtype);
  const values = valuesOf(dtype, input);
  for (let index = 0; index < values.length; index++) {
    values[index] = combine(ReduceOp.PRODUCT, isInteger, values[index]!, factor);
  }
  return elementsOf(dtype, values);
}

/** left op right, element by element, each result rounded or wrapped to the dtype; a NaN is the canonical one. */
export function combineElements(dtype: DataType, op: ReduceOp, left: HostArray, right: HostArray): HostArray {
  if (isBig(left)) {
    const step = bigStep(op);
    const other = right as BigArray;
    return mapBig(left, (value, index) => step(value, other[index] as bigint));
  }
  const [values, others] = [valuesOf(dtype, left), valuesOf(dtype, right as NumberArray)];
  const isInteger = !isFloat(dtype);
  for (let index = 0; index < values.length; index++) {
    values[index] = combine(op, isInteger, values[index]!, others[index]!);
  }
  return elementsOf(dtype, values);
}

/** The result of the fold after the operation's last step; the result itself where there is none. */
export function finishElements(dtype: DataType, op: ReduceOp, folded: HostArray, size: number): HostArray {
  if (op.name !== "avg" || isFloat(dtype)) return folded;
  if (isBig(folded)) return mapBig(folded, (value) => value / BigInt(size));
  return elementsOf(
    dtype,
    valuesOf(dtype, folded).map((value) => Math.trunc(value / size)),
  );
}

/**
 * The left fold ((x0 op x1) op x2) ... of all ranks' inputs. `ops[rank]` is that rank's operation: they differ only in
 * the factor of premul-sum. Without `size`, as many ranks as inputs.
 */
export function foldElements(
  dtype: DataType,
  ops: readonly ReduceOp[],
  inputs: readonly HostArray[],
  size = inputs.length,
): HostArray {
  const op = ops[0] as ReduceOp;
  const prepared = inputs.map((input, rank) => prepareElements(dtype, ops[rank] as ReduceOp, input, size));
  const folded = prepared.reduce((left, right) => combineElements(dtype, op, left, right));
  return finishElements(dtype, op, folded, size);
}

function isBig(array: HostArray): array is BigArray {
  return array instanceof BigInt64Array || array instanceof BigUint64Array;
}

function mapBig(input: BigArray, step: (value: bigint, index: number) => bigint): BigArray {
  const result = input instanceof BigInt64Array ? new BigInt64Array(input.length) : new BigUint64Array(input.length);
  for (let index = 0; index < result.length; index++) result[index] = step(input[index] as bigint, index);
  return result;
}

/** The values of the elements: a double holds those of every dtype except 64-bit integers. */
function valuesOf(dtype: DataType, input: NumberArray): Float64Array {
  const values = new Float64Array(input.length);
  if (isSmallFloat(dtype)) {
    const format = SMALL_FORMATS[dtype];
    for (let index = 0; index < values.length; index++) values[index] = decode(format, input[index]!);
  } else values.set(input);
  return values;
}

/** The elements that stand for the values, rounded or wrapped to the dtype. */
function elementsOf(dtype: DataType, values: Float64Array): HostArray {
  const result = arrayOf(dtype, values.length) as NumberArray;
  if (isSmallFloat(dtype)) {
    const format = SMALL_FORMATS[dtype];
    for (let index = 0; index < values.length; index++) result[index] = encode(format, values[index]!);
  } else result.set(values);
  // A NaN stored into a typed array may have any sign and payload.
  if (result instanceof Float32Array) {
    const bits = new Uint32Array(result.buffer);
    for (let index = 0; index < bits.length; index++) if (Number.isNaN(values[index])) bits[index] = 0x7fc00000;
  } else if (result instanceof Float64Array) {
    const words = new Uint32Array(result.buffer);
    for (let index = 0; index < values.length; index++) {
      if (Number.isNaN(values[index])) words.set([0, 0x7ff80000], 2 * index);
    }
  }
  return result;
}

/** One step of the fold, before it is rounded or wrapped. */
function combine(op: ReduceOp, isInteger: boolean, a: number, b: number): number {
  switch (op.name) {
    case "sum":
    case "avg":
    case "premul-sum":
      return a + b;
    case "product":
      // The low 32 bits, which is all that a store keeps.
      return isInteger ? Math.imul(a, b) : a * b;
    // In JavaScript, too, -0 is less than +0 here and NaN wins.
    case "min":
      return Math.min(a, b);
    case "max":
      return Math.max(a, b);
    case "custom":
      return (op.js as (a: number, b: number) => number)(a, b);
  }
  if (!isInteger) throw new TypeError(`reduce op ${op.name} is for integers`);
  return op.name === "band" ? a & b : op.name === "bor" ? a | b : a ^ b;
}

function bigStep(op: ReduceOp): (a: bigint, b: bigint) => bigint {
  switch (op.name) {
    case "sum":
    case "avg":
    case "premul-sum":
      return (a, b) => a + b;
    case "product":
      return (a, b) => a * b;
    case "min":
      // biome-ignore lint/complexity/useMathMinMax: it takes no bigints
      return (a, b) => (a < b ? a : b);
    case "max":
      // biome-ignore lint/complexity/useMathMinMax: it takes no bigints
      return (a, b) => (a > b ? a : b);
    case "band":
      return (a, b) => a & b;
    case "bor":
      return (a, b) => a | b;
    case "bxor":
      return (a, b) => a ^ b;
    case "custom":
      return op.js as unknown as (a: bigint, b: bigint) => bigint;
  }
}

function decode(format: SmallFormat, bits: number): number {
  const { mantissaBits, bias, largest } = format;
  const signBit = 1 << (format.bits - 1);
  const sign = bits & signBit ? -1 : 1;
  const magnitude = bits & (signBit - 1);
  const exponent = magnitude >> mantissaBits;
  const mantissa = magnitude & ((1 << mantissaBits) - 1);
  if (magnitude > largest) return Number.NaN;
  if (magnitude === largest && mantissa === 0) return sign * Infinity;
  if (exponent === 0) return sign * mantissa * powerOfTwo(1 - bias - mantissaBits);
  return sign * ((1 << mantissaBits) + mantissa) * powerOfTwo(exponent - bias - mantissaBits);
}

/** 2 ** n for n from -200 to 200, which covers both formats. */
const POWERS_OF_TWO = Float64Array.from({ length: 401 }, (_, index) => 2 ** (index - 200));

function powerOfTwo(exponent: number): number {
  return POWERS_OF_TWO[exponent + 200] as number;
}

const scratch = new Float64Array(1);
const scratchWords = new Uint32Array(scratch.buffer);

/** floor(log2(value)) of a positive finite double; -1023 if it is denormal. */
function exponentOf(value: number): number {
  scratch[0] = value;
  return ((scratchWords[1] as number) >>> 20) - 1023;
}

function encode({ bits, mantissaBits, bias, largest, nan }: SmallFormat, value: number): number {
  if (Number.isNaN(value)) return nan;
  const sign = value < 0 || Object.is(value, -0) ? 1 << (bits - 1) : 0;
  const magnitude = Math.abs(value);
  const exponent = Math.max(exponentOf(magnitude), 1 - bias);
  if (exponent > bias + 1) return sign | largest;
  // The value in units of its last place: dividing by a power of two loses nothing.
  const units = magnitude / powerOfTwo(exponent - mantissaBits);
  let rounded = Math.floor(units);
  const rest = units - rounded;
  if (rest > 0.5 || (rest === 0.5 && rounded % 2 === 1)) rounded++;
  // A normal value's leading bit adds one to the exponent field, and so does a carry out of the mantissa.
  return sign | Math.min(((exponent + bias - 1) << mantissaBits) + rounded, largest);
}
