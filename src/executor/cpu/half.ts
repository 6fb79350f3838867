/**
 * The 16-bit floats in scalar code: their bits in a number from 0 to 65535, to f32 and back. Widening is exact;
 * narrowing rounds to nearest, ties to even, by integer arithmetic, and gives every NaN the one canonical pattern.
 *
 *     f16  (binary16):  sign 1, exponent 5 (bias 15),  fraction 10
 *     bf16:             sign 1, exponent 8 (bias 127), fraction 7: the upper half of an f32
 *     f32  (binary32):  sign 1, exponent 8 (bias 127), fraction 23
 *
 * A step of f16 computes in f32 and then rounds to f16. For + and * this is the correctly rounded result although it
 * rounds twice: f32 carries 24 bits, and 2 * 11 + 2 = 24 is what makes the first rounding harmless (Figueroa, "When is
 * double rounding innocuous?", DOI 10.1145/221332.221334); results too small for f16's full precision are exact in f32.
 * For bf16 (24 >= 2 * 8 + 2) the same holds, save for products below 2^-126: those are rounded twice, by definition.
 */

/** The canonical NaN of each float type, as its bits. */
export const NAN_F16 = 0x7e00;
export const NAN_BF16 = 0x7fc0;
export const NAN_F32 = 0x7fc00000;
export const NAN_F64 = 0x7ff8000000000000n;

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** The value of an f16. */
export function f16ToF32(half: number): number {
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  const sign = half & 0x8000 ? -1 : 1;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  bits[0] = ((half & 0x8000) << 16) | ((exponent + 112) << 23) | (fraction << 13);
  return float[0]!;
}

/** The f16 nearest to `value`, which is rounded to f32 first. 65520 and more is Inf. */
export function f32ToF16(value: number): number {
  float[0] = value;
  const magnitude = bits[0]! & 0x7fffffff;
  const sign = (bits[0]! >>> 16) & 0x8000;
  if (magnitude > 0x7f800000) return NAN_F16;
  if (magnitude >= 143 << 23) return sign | 0x7c00; // 2^16 and more
  if (magnitude >= 113 << 23) return sign | roundShift(magnitude - (112 << 23), 13); // 2^-14 and more: normal
  if (magnitude < 102 << 23) return sign; // less than 2^-25, half of the smallest subnormal
  const significand = (magnitude & 0x7fffff) | 0x800000;
  return sign | roundShift(significand, 126 - (magnitude >>> 23)); // in units of 2^-24
}

/** The value of a bf16. */
export function bf16ToF32(half: number): number {
  bits[0] = half << 16;
  return float[0]!;
}

/** The bf16 nearest to `value`, which is rounded to f32 first. */
export function f32ToBf16(value: number): number {
  float[0] = value;
  if ((bits[0]! & 0x7fffffff) > 0x7f800000) return NAN_BF16;
  return roundShift(bits[0]!, 16) & 0xffff;
}

/** value / 2^shift for an unsigned 32-bit value, to the nearest whole number, ties to the even one. */
function roundShift(value: number, shift: number): number {
  const quotient = value >>> shift;
  const rest = value - quotient * 2 ** shift;
  const half = 2 ** (shift - 1);
  return rest > half || (rest === half && (quotient & 1) === 1) ? quotient + 1 : quotient;
}
