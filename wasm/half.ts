/**
 * The two 16-bit floats, eight in a vector. Each step widens to f32, computes, and rounds to nearest even by integer
 * arithmetic. The even elements are the low halves of the 32-bit lanes, the odd ones the high halves: each set is
 * widened in its place, so no lane is moved.
 *
 * The kernels of f16 are bound by this arithmetic, not by memory: product and scale take about 90 instructions for 8
 * elements. The sum needs half of that, for it never leaves the scaled f32 described at sumF16.
 */
import { Op } from "./lanes";

export const enum Format {
  F16,
  BF16,
}

/** f16 in the low 16 bits of each lane, the rest zero, to f32. Exact. */
// @ts-ignore: decorator
@inline
function widenF16(h: v128): v128 {
  const sign = i32x4.shl(v128.and(h, i32x4.splat(0x8000)), 16);
  const magnitude = i32x4.shl(v128.and(h, i32x4.splat(0x7fff)), 13);
  const rebias = i32x4.splat(112 << 23);
  // Inf and NaN: exponent 31 becomes 255, which takes the difference of the biases twice.
  const special = v128.and(i32x4.ge_s(magnitude, i32x4.splat(31 << 23)), rebias);
  const normal = i32x4.add(i32x4.add(magnitude, rebias), special);
  // A subnormal is 0.m * 2^-14: set the exponent to -14, which makes it 1.m * 2^-14, and subtract the 1.
  const subnormal = f32x4.sub(i32x4.add(magnitude, i32x4.splat(113 << 23)), i32x4.splat(113 << 23));
  const isSubnormal = i32x4.lt_s(magnitude, i32x4.splat(1 << 23));
  return v128.or(v128.bitselect(subnormal, normal, isSubnormal), sign);
}

/** f32 to f16 in the low 16 bits of each lane, the rest zero. */
// @ts-ignore: decorator
@inline
function narrowF16(x: v128): v128 {
  const magnitude = v128.and(x, i32x4.splat(0x7fffffff));
  const sign = v128.and(i32x4.shr_u(x, 16), i32x4.splat(0x8000));
  // To nearest even: add just under half of the last place, and one more if the last place is odd.
  const odd = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(1));
  const rounded = i32x4.add(i32x4.add(magnitude, i32x4.splat(0xfff - (112 << 23))), odd);
  const normal = i32x4.min_u(i32x4.shr_u(rounded, 13), i32x4.splat(0x7c00));
  // A subnormal's last place is 2^-24, which is that of 0.5 in f32: the addition itself rounds.
  const half = i32x4.splat(126 << 23);
  const subnormal = i32x4.sub(f32x4.add(magnitude, half), half);
  const isSubnormal = i32x4.lt_s(magnitude, i32x4.splat(113 << 23));
  const finite = v128.or(v128.bitselect(subnormal, normal, isSubnormal), sign);
  return v128.bitselect(finite, i32x4.splat(0x7e00), f32x4.eq(x, x));
}

/** f32 to bf16 in the upper 16 bits of each lane, the lower ones undefined. */
// @ts-ignore: decorator
@inline
function narrowBf16(x: v128): v128 {
  const odd = v128.and(i32x4.shr_u(x, 16), i32x4.splat(1));
  const rounded = i32x4.add(i32x4.add(x, i32x4.splat(0x7fff)), odd);
  return v128.bitselect(rounded, i32x4.splat(0x7fc00000), f32x4.eq(x, x));
}

// @ts-ignore: decorator
@inline
function widenEven(format: Format, v: v128): v128 {
  if (format == Format.F16) return widenF16(v128.and(v, i32x4.splat(0xffff)));
  return i32x4.shl(v, 16);
}

// @ts-ignore: decorator
@inline
function widenOdd(format: Format, v: v128): v128 {
  if (format == Format.F16) return widenF16(i32x4.shr_u(v, 16));
  return v128.and(v, i32x4.splat(0xffff0000));
}

// @ts-ignore: decorator
@inline
function narrowBoth(format: Format, even: v128, odd: v128): v128 {
  if (format == Format.F16) return v128.or(narrowF16(even), i32x4.shl(narrowF16(odd), 16));
  return v128.or(i32x4.shr_u(narrowBf16(even), 16), v128.and(narrowBf16(odd), i32x4.splat(0xffff0000)));
}

/**
 * f16 in the upper 16 bits of each lane, the lower ones ignored, to f32 scaled by 2^-112: the same exponent and fraction
 * bits, moved into place. Subnormals come out as f32's subnormals, Inf and NaN as Inf and NaN. Exact.
 */
// @ts-ignore: decorator
@inline
function widenScaled(v: v128): v128 {
  const moved = v128.and(i32x4.shr_s(v, 3), i32x4.splat(0x8fffe000));
  const exponent31 = i32x4.splat(31 << 23);
  const special = i32x4.eq(v128.and(moved, exponent31), exponent31);
  return v128.or(moved, v128.and(special, i32x4.splat(0x7f800000)));
}

/** f32 scaled by 2^-112 to f16 in the low 16 bits of each lane, the rest zero. f16's subnormals need no case of their own. */
// @ts-ignore: decorator
@inline
function narrowScaled(x: v128): v128 {
  const magnitude = v128.and(x, i32x4.splat(0x7fffffff));
  const odd = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(1));
  const rounded = i32x4.shr_u(i32x4.add(i32x4.add(magnitude, i32x4.splat(0xfff)), odd), 13);
  const sign = v128.and(i32x4.shr_u(x, 16), i32x4.splat(0x8000));
  const result = v128.or(i32x4.min_u(rounded, i32x4.splat(0x7c00)), sign);
  return v128.bitselect(result, i32x4.splat(0x7e00), f32x4.eq(x, x));
}

/**
 * a + b for f16. Scaling by 2^-112 commutes with the f32 addition: a sum of f16s is a whole multiple of 2^-24, which is
 * 2^-136 when scaled, so nothing falls below f32's smallest subnormal, 2^-149. (A product would.)
 */
// @ts-ignore: decorator
@inline
function sumF16(a: v128, b: v128): v128 {
  const even = f32x4.add(widenScaled(i32x4.shl(a, 16)), widenScaled(i32x4.shl(b, 16)));
  const odd = f32x4.add(widenScaled(a), widenScaled(b));
  return v128.or(narrowScaled(even), i32x4.shl(narrowScaled(odd), 16));
}

/**
 * Order-preserving signed integer of each element: negative numbers have all bits but the sign inverted. Its own
 * inverse.
 */
// @ts-ignore: decorator
@inline
function key(v: v128): v128 {
  return v128.xor(v, i16x8.shr_u(i16x8.shr_s(v, 15), 1));
}

/** a op b. MIN and MAX need no f32: they compare the bits. */
// @ts-ignore: decorator
@inline
export function combineHalf(format: Format, op: Op, a: v128, b: v128): v128 {
  if (op == Op.MIN || op == Op.MAX) {
    const x = key(a);
    const y = key(b);
    const chosen = key(op == Op.MIN ? i16x8.min_s(x, y) : i16x8.max_s(x, y));
    const magnitude = i16x8.splat(0x7fff);
    const larger = i16x8.max_s(v128.and(a, magnitude), v128.and(b, magnitude));
    const isNaN = i16x8.gt_s(larger, i16x8.splat(format == Format.F16 ? 0x7c00 : 0x7f80));
    return v128.bitselect(i16x8.splat(format == Format.F16 ? 0x7e00 : 0x7fc0), chosen, isNaN);
  }
  if (format == Format.F16 && op == Op.SUM) return sumF16(a, b);
  const evenA = widenEven(format, a);
  const evenB = widenEven(format, b);
  const oddA = widenOdd(format, a);
  const oddB = widenOdd(format, b);
  if (op == Op.SUM) return narrowBoth(format, f32x4.add(evenA, evenB), f32x4.add(oddA, oddB));
  return narrowBoth(format, f32x4.mul(evenA, evenB), f32x4.mul(oddA, oddB));
}

/** a * factor, with the factor an f32. */
// @ts-ignore: decorator
@inline
export function scaledHalf(format: Format, a: v128, factor: v128): v128 {
  return narrowBoth(format, f32x4.mul(widenEven(format, a), factor), f32x4.mul(widenOdd(format, a), factor));
}
