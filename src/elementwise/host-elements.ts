/** The elementwise operations on arrays. Floats of up to 32 bits are widened to an array of f32, computed, and narrowed. */
import { f8ToF32, f32ToF8 } from "../executor/cpu/float8.ts";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16, NAN_F32, NAN_F64 } from "../executor/cpu/half.ts";
import { LANE_ARRAY } from "../executor/cpu/host-span.ts";
import { tensorOver } from "../tensor/host.ts";
import type { HostView } from "../tensor/view.ts";
import { bytesPerElement, type DataType, type HostArray, isFloat, isFloat8 } from "../types.ts";
import type { BinaryName, Elements } from "./elements.ts";

type Values = Float32Array | Float64Array;
type WholeNumbers = { [index: number]: number };
type BigNumbers = { [index: number]: bigint };

function arrayOf(view: HostView): HostArray {
  return new LANE_ARRAY[view.dtype](view.buffer, view.byteOffset, view.count);
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
  const widen = widener(view.dtype);
  const values = new Float32Array(array.length);
  for (let i = 0; i < values.length; i++) values[i] = widen(array[i] as number);
  return values;
}

/** Makes every element of `target`, a float's: `loop` fills an array with their values. */
function setValues(target: HostView, loop: (values: Values) => void): void {
  const array = arrayOf(target) as Values | Uint16Array;
  if (array instanceof Float32Array || array instanceof Float64Array) {
    loop(array);
    makeNaNsCanonical(array);
    return;
  }
  const values = new Float32Array(array.length);
  loop(values);
  const narrow = narrower(target.dtype);
  for (let i = 0; i < array.length; i++) array[i] = narrow(values[i]!);
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

/** Loops, since a function called for each element takes several times as long. The f64 sum or product of two f32 becomes the nearest f32. */
const FLOAT_LOOPS: Readonly<Record<BinaryName, (target: Values, a: Values, b: Values) => void>> = {
  add: (target, a, b) => {
    for (let i = 0; i < target.length; i++) target[i] = a[i]! + b[i]!;
  },
  subtract: (target, a, b) => {
    for (let i = 0; i < target.length; i++) target[i] = a[i]! - b[i]!;
  },
  multiply: (target, a, b) => {
    for (let i = 0; i < target.length; i++) target[i] = a[i]! * b[i]!;
  },
};
const INTEGER_STEPS: Readonly<Record<BinaryName, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  subtract: (a, b) => a - b,
  multiply: Math.imul,
};
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
    const [a, b] = [valuesOf(left), valuesOf(right)];
    setValues(target, (result) => FLOAT_LOOPS[name](result, a, b));
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
    setValues(target, (result) => {
      for (let i = 0; i < result.length; i++) result[i] = values[i]! * rounded;
    });
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
  setValues(target, (result) => result.set(values));
}

/** See the file's head. */
export const hostElements: Elements<HostView> = {
  alloc: (dtype, count) =>
    tensorOver(dtype, new LANE_ARRAY[dtype](new ArrayBuffer(count * bytesPerElement(dtype)), 0, count)),
  copy: (target, targetStart, source, sourceStart, count) => {
    const width = bytesPerElement(target.dtype);
    const from = new Uint8Array(source.buffer, source.byteOffset + sourceStart * width, count * width);
    new Uint8Array(target.buffer, target.byteOffset + targetStart * width, count * width).set(from);
  },
  convert,
  scale,
  binary,
  claim: (owner, x, y, code) => {
    const bits = (view: HostView) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    const [a, b, width] = [bits(x), bits(y), bytesPerElement(x.dtype)];
    const [values, others] = isFloat(x.dtype) ? [valuesOf(x), valuesOf(y)] : [null, null];
    const owners = arrayOf(owner) as Int32Array;
    for (let i = 0; i < owners.length; i++) {
      if (owners[i] !== 0) continue;
      let isSame = true;
      for (let at = i * width; at < (i + 1) * width; at++) isSame &&= a[at] === b[at];
      if (isSame || (Number.isNaN(values?.[i]) && Number.isNaN(others?.[i]))) owners[i] = code;
    }
  },
  whereOwner: (target, gradient, owner, code) => {
    const [result, from] = [arrayOf(target) as unknown, arrayOf(gradient) as unknown];
    const owners = arrayOf(owner) as Int32Array;
    for (let i = 0; i < owners.length; i++) {
      if (owners[i] === code) (result as WholeNumbers)[i] = (from as WholeNumbers)[i] ?? 0;
    }
  },
};
