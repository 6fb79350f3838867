/**
 * The 8-bit floats (OCP 8-bit Floating Point Specification, revision 1.0), to f32 and back, and their folds.
 *
 *     f8e4m3:  sign 1, exponent 4 (bias 7),  fraction 3; the largest is 448 (0x7e), 0x7f is the only NaN, no infinities
 *     f8e5m2:  sign 1, exponent 5 (bias 15), fraction 2; 0x7c is Inf, above it are NaNs: the upper byte of an f16
 *
 * Widening is exact. Narrowing rounds to nearest, ties to even, and gives every NaN 0x7f, as CUDA does. Where f8e5m2
 * overflows to Inf, f8e4m3 saturates: 448 stands for all that is larger, Inf included. An f32 between two steps rounds no
 * result twice, since its 24 bits are more than 2 * 4 + 2 (half.ts).
 *
 * An operation on two elements has 65,536 results. They are worked out when they are first wanted, and then looked up.
 */
import type { Float8 } from "../../types.ts";
import type { HostSpan } from "./host-span.ts";
import type { FoldName } from "./kernels.ts";

/** The canonical NaN of both types. */
const NAN_F8 = 0x7f;

/** Bits of the fraction, the exponent's bias, and the bits of the largest number: Inf where there is one. */
const FORMATS = {
  f8e4m3: { fraction: 3, bias: 7, largest: 0x7e },
  f8e5m2: { fraction: 2, bias: 15, largest: 0x7c },
} as const;

const float = new Float32Array(1);
const bitsOfFloat = new Uint32Array(float.buffer);

/** The value of an 8-bit float. */
export function f8ToF32(dtype: Float8, bits: number): number {
  const { fraction, bias, largest } = FORMATS[dtype];
  const magnitude = bits & 0x7f;
  const sign = bits & 0x80 ? -1 : 1;
  if (magnitude > largest) return Number.NaN;
  if (magnitude === 0x7c && dtype === "f8e5m2") return sign * Number.POSITIVE_INFINITY;
  const exponent = magnitude >> fraction;
  const significand = (magnitude & ((1 << fraction) - 1)) + (exponent > 0 ? 1 << fraction : 0);
  return sign * significand * 2 ** (Math.max(exponent, 1) - bias - fraction);
}

/** The 8-bit float nearest to `value`, which is rounded to f32 first. */
export function f32ToF8(dtype: Float8, value: number): number {
  if (Number.isNaN(value)) return NAN_F8;
  const { fraction, bias, largest } = FORMATS[dtype];
  float[0] = value;
  // Of the result, and no less than that of the smallest normal one, whose unit the subnormals share.
  const exponent = Math.max(((bitsOfFloat[0]! >>> 23) & 0xff) - 127 + bias, 1);
  const units = Math.abs(float[0]!) * 2 ** (fraction + bias - exponent);
  // Where a double's own unit is 1, adding rounds as it should. The leading bit of a normal number adds 1 to the exponent.
  const magnitude = ((exponent - 1) << fraction) + (units + 2 ** 52 - 2 ** 52);
  return ((bitsOfFloat[0]! >>> 24) & 0x80) | Math.min(magnitude, largest);
}

const STEPS: Readonly<Record<string, (a: number, b: number) => number>> = {
  sum: (a, b) => a + b,
  product: (a, b) => a * b,
  // −0 is less than +0, and NaN wins.
  min: Math.min,
  max: Math.max,
};
const tables = new Map<string, Uint8Array>();

/** The result of each pair: that of `a op b` at 256 a + b. */
function tableOf(dtype: Float8, name: FoldName): Uint8Array {
  let table = tables.get(dtype + name);
  if (!table) {
    const step = STEPS[name]!;
    const values = Float64Array.from({ length: 256 }, (_, bits) => f8ToF32(dtype, bits));
    table = Uint8Array.from({ length: 65_536 }, (_, pair) =>
      f32ToF8(dtype, step(values[pair >> 8]!, values[pair & 0xff]!)),
    );
    tables.set(dtype + name, table);
  }
  return table;
}

/** target = left op right. */
export function foldFloat8(name: FoldName, target: HostSpan, left: HostSpan, right: HostSpan): void {
  const table = tableOf(target.dtype as Float8, name);
  const [t, l, r] = [target.bytes, left.bytes, right.bytes];
  for (let i = 0; i < t.length; i++) t[i] = table[(l[i]! << 8) | r[i]!]!;
}

/** span = span * factor, which is f32's value. */
export function scaleFloat8(span: HostSpan, factor: number): void {
  const dtype = span.dtype as Float8;
  const table = Uint8Array.from({ length: 256 }, (_, bits) => f32ToF8(dtype, f8ToF32(dtype, bits) * factor));
  const { bytes } = span;
  for (let i = 0; i < bytes.length; i++) bytes[i] = table[bytes[i]!]!;
}
