/** The elementwise operations on arrays. Floats of up to 32 bits are widened to an array of f32, computed, and narrowed. */
import { f8ToF32, f32ToF8 } from "../executor/cpu/float8.ts";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16, NAN_F32, NAN_F64 } from "../executor/cpu/half.ts";
import { tensorOver } from "../tensor/host.ts";
import type { HostView } from "../tensor/view.ts";
import { bytesPerElement, type DataType, type HostArray, isFloat, isFloat8 } from "../types.ts";
import type { BinaryName, Elements } from "./elements.ts";

/** The arrays that hold the elements' bits. */
const ARRAYS = {
  ...{ i8: Int8Array, u8: Uint8Array, i16: Int16Array, u16: Uint16Array, i32: Int32Array, u32: Uint32Array },
  ...{ i64: BigInt64Array, u64: BigUint64Array, f16: Uint16Array, bf16: Uint16Array, f32: Float32Array },
  ...{ f64: Float64Array, f8e4m3: Uint8Array, f8e5m2: Uint8Array },
} as const satisfies Record<DataType, unknown>;

type Values = Float32Array | Float64Array;
type WholeNumbers = { [index: number]: number };
type BigNumbers = { [index: number]: bigint };

function arrayOf(view: HostView): HostArray {
  return new ARRAYS[view.dtype](view.buffer as ArrayBuffer, view.byteOffset, view.count);
}

/** The value of each bit pattern of a float shorter than f32. */
function widener(dtype: DataType): (bits: number) => number {
  if (isFloat8(dtype)) return (bits) => f8ToF32(dtype, bits);
  return dtype === "f16" ? f16ToF32 : bf16ToF32;
}

function narrower(dtype: DataType): (value: number) => number {
  if (isFloat8(dtype)) return (value) => f32ToF8(dtype, value);
  return dtype === "f16" ? f32ToF16 : f32ToBf16;
}

/** The values of floats: their own array, or one of f32. */
function valuesOf(view: HostView): Values {
  const array = arrayOf(view);
  if (array instanceof Float32Array || array instanceof Float64Array) return array;
  return Float32Array.from(array as Uint16Array, widener(view.dtype));
}

/** Computes every element of `target`, which must be a float's. */
function setValues(target: HostView, valueAt: (i: number) => number): void {
  const array = arrayOf(target) as Values | Uint16Array;
  if (array instanceof Float32Array || array instanceof Float64Array) {
    for (let i = 0; i < array.length; i++) array[i] = valueAt(i);
    makeNaNsCanonical(array);
    return;
  }
  const narrow = narrower(target.dtype);
  for (let i = 0; i < array.length; i++) array[i] = narrow(valueAt(i));
}

function makeNaNsCanonical(array: Values): void {
  const { buffer, byteOffset, length } = array;
  if (array instanceof Float32Array) {
    const bits = new Uint32Array(buffer, byteOffset, length);
    for (let i = 0; i < length; i++) if (Number.isNaN(array[i])) bits[i] = NAN_F32;
  } else {
    const bits = new BigUint64Array(buffer, byteOffset, length);
    for (let i = 0; i < length; i++) if (Number.isNaN(array[i])) bits[i] = NAN_F64;
  }
}

const FLOAT_STEPS: Readonly<Record<BinaryName, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  subtract: (a, b) => a - b,
  multiply: (a, b) => a * b,
};
const INTEGER_STEPS = { ...FLOAT_STEPS, multiply: Math.imul };
const BIG_STEPS: Readonly<Record<BinaryName, (a: bigint, b: bigint) => bigint>> = {
  add: (a, b) => a + b,
  subtract: (a, b) => a - b,
  multiply: (a, b) => a * b,
};

/** Computes integers, which wrap as they are stored. */
function setIntegers(target: HostView, small: (i: number) => number, big: (i: number) => bigint): void {
  const array = arrayOf(target);
  if (bytesPerElement(target.dtype) === 8) {
    for (let i = 0; i < array.length; i++) (array as BigNumbers)[i] = big(i);
  } else {
    for (let i = 0; i < array.length; i++) (array as WholeNumbers)[i] = small(i);
  }
}

function binary(name: BinaryName, target: HostView, left: HostView, right: HostView): void {
  if (isFloat(target.dtype)) {
    const [a, b, step] = [valuesOf(left), valuesOf(right), FLOAT_STEPS[name]];
    // The step's f64 result of two f32 becomes the nearest f32, as if it were computed in f32 (half.ts).
    setValues(target, (i) => step(a[i] ?? 0, b[i] ?? 0));
    return;
  }
  const [a, b] = [arrayOf(left) as unknown, arrayOf(right) as unknown];
  setIntegers(
    target,
    (i) => INTEGER_STEPS[name]((a as WholeNumbers)[i] ?? 0, (b as WholeNumbers)[i] ?? 0),
    (i) => BIG_STEPS[name]((a as BigNumbers)[i] ?? 0n, (b as BigNumbers)[i] ?? 0n),
  );
}

function scale(target: HostView, source: HostView, factor: number): void {
  if (isFloat(target.dtype)) {
    const values = valuesOf(source);
    const rounded = target.dtype === "f64" ? factor : Math.fround(factor);
    setValues(target, (i) => (values[i] ?? 0) * rounded);
    return;
  }
  if (!Number.isSafeInteger(factor)) {
    throw new RangeError(`scale: a tensor of ${target.dtype} needs a whole factor, got ${factor}`);
  }
  const values = arrayOf(source) as unknown;
  const [low, big] = [Number(BigInt.asIntN(32, BigInt(factor))), BigInt(factor)];
  setIntegers(
    target,
    (i) => Math.imul((values as WholeNumbers)[i] ?? 0, low),
    (i) => ((values as BigNumbers)[i] ?? 0n) * big,
  );
}

function convert(target: HostView, source: HostView): void {
  for (const { dtype } of [target, source]) {
    if (!isFloat(dtype)) throw new TypeError(`convert: ${dtype} is no float's dtype`);
  }
  const values = valuesOf(source);
  setValues(target, (i) => values[i] ?? 0);
}

/** See the file's head. */
export const hostElements: Elements<HostView> = {
  alloc: (dtype, count) => tensorOver(dtype, new ARRAYS[dtype](count)),
  copy: (target, targetStart, source, sourceStart, count) => {
    const width = bytesPerElement(target.dtype);
    const from = new Uint8Array(source.buffer, source.byteOffset + sourceStart * width, count * width);
    new Uint8Array(target.buffer, target.byteOffset + targetStart * width, count * width).set(from);
  },
  convert,
  scale,
  binary,
  rankWhereEqual: (target, x, y, rank, none) => {
    const bits = (view: HostView) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    const [a, b, width] = [bits(x), bits(y), bytesPerElement(x.dtype)];
    const [values, others] = isFloat(x.dtype) ? [valuesOf(x), valuesOf(y)] : [null, null];
    const owners = arrayOf(target) as Int32Array;
    for (let i = 0; i < owners.length; i++) {
      let isSame = true;
      for (let at = i * width; at < (i + 1) * width; at++) isSame &&= a[at] === b[at];
      isSame ||= Number.isNaN(values?.[i]) && Number.isNaN(others?.[i]);
      owners[i] = isSame ? rank : none;
    }
  },
  whereOwner: (target, gradient, owner, rank) => {
    const [result, from] = [arrayOf(target) as unknown, arrayOf(gradient) as unknown];
    const owners = arrayOf(owner) as Int32Array;
    for (let i = 0; i < owners.length; i++) {
      if (owners[i] === rank) (result as WholeNumbers)[i] = (from as WholeNumbers)[i] ?? 0;
    }
  },
};
