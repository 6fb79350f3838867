/**
 * What is done to one vector of 16 bytes, for every dtype that fills whole SIMD lanes. `op` is always a constant at
 * the call, so inlining leaves one branch of each function.
 */

export const enum Op {
  SUM,
  PRODUCT,
  MIN,
  MAX,
  BAND,
  BOR,
  BXOR,
}

/** Every NaN becomes the one canonical NaN, so that no bit depends on which operand's payload the processor keeps. */
// @ts-ignore: decorator
@inline
export function canonical<T>(v: v128): v128 {
  if (sizeof<T>() == 4) return v128.bitselect(v, i32x4.splat(0x7fc00000), f32x4.eq(v, v));
  return v128.bitselect(v, i64x2.splat(0x7ff8000000000000), f64x2.eq(v, v));
}

/** a op b, lane by lane. */
// @ts-ignore: decorator
@inline
export function combine<T>(op: Op, a: v128, b: v128): v128 {
  if (op == Op.BAND) return v128.and(a, b);
  if (op == Op.BOR) return v128.or(a, b);
  if (op == Op.BXOR) return v128.xor(a, b);
  if (isFloat<T>()) {
    // WebAssembly's min and max order -0 before +0 and let NaN through, as we want them.
    if (op == Op.SUM) return canonical<T>(v128.add<T>(a, b));
    if (op == Op.PRODUCT) return canonical<T>(v128.mul<T>(a, b));
    if (op == Op.MIN) return canonical<T>(v128.min<T>(a, b));
    return canonical<T>(v128.max<T>(a, b));
  }
  if (op == Op.SUM) return v128.add<T>(a, b);
  if (op == Op.PRODUCT) return multiply<T>(a, b);
  if (sizeof<T>() == 8) return select64<T>(op == Op.MIN, a, b);
  if (op == Op.MIN) return v128.min<T>(a, b);
  return v128.max<T>(a, b);
}

/** Integer product, wrapped. SIMD has no 8-bit one: even and odd bytes are multiplied in 16 bits. */
// @ts-ignore: decorator
@inline
export function multiply<T>(a: v128, b: v128): v128 {
  if (sizeof<T>() == 1) {
    const even = v128.and(i16x8.mul(a, b), i16x8.splat(0xff));
    const odd = i16x8.mul(i16x8.shr_u(a, 8), i16x8.shr_u(b, 8));
    return v128.or(even, i16x8.shl(odd, 8));
  }
  return v128.mul<T>(a, b);
}

/** The smaller or larger of 64-bit integers. SIMD compares only signed ones: unsigned ones are shifted by 2^63. */
// @ts-ignore: decorator
@inline
function select64<T>(smaller: bool, a: v128, b: v128): v128 {
  let x = a;
  let y = b;
  if (!isSigned<T>()) {
    const sign = i64x2.splat(0x8000000000000000);
    x = v128.xor(a, sign);
    y = v128.xor(b, sign);
  }
  const less = i64x2.lt_s(x, y);
  return smaller ? v128.bitselect(a, b, less) : v128.bitselect(b, a, less);
}

/** `factor` in every lane. */
// @ts-ignore: decorator
@inline
export function splat<T>(factor: T): v128 {
  return v128.splat<T>(factor);
}

/** a * factor, rounded or wrapped. */
// @ts-ignore: decorator
@inline
export function scaled<T>(a: v128, factor: v128): v128 {
  if (isFloat<T>()) return canonical<T>(v128.mul<T>(a, factor));
  return multiply<T>(a, factor);
}

/**
 * a / divisor, truncated, for integers of up to 32 bits; `divisor` stands in every lane, as f32 for 8- and 16-bit
 * lanes and as f64 for 32-bit ones. SIMD has no integer division. The float quotient is exact enough to truncate: a
 * correctly rounded a/n reaches the next integer q only if q*n - a < q*n * 2^-24 (2^-53), which takes an a or an n of
 * 2^23 (2^52) or more.
 */
// @ts-ignore: decorator
@inline
export function divided<T>(a: v128, divisor: v128): v128 {
  if (sizeof<T>() == 1) {
    if (isSigned<T>()) {
      return i8x16.narrow_i16x8_s(
        divided<i16>(i16x8.extend_low_i8x16_s(a), divisor),
        divided<i16>(i16x8.extend_high_i8x16_s(a), divisor),
      );
    }
    return i8x16.narrow_i16x8_u(
      divided<u16>(i16x8.extend_low_i8x16_u(a), divisor),
      divided<u16>(i16x8.extend_high_i8x16_u(a), divisor),
    );
  }
  if (sizeof<T>() == 2) {
    if (isSigned<T>()) {
      return i16x8.narrow_i32x4_s(
        quotient16(i32x4.extend_low_i16x8_s(a), divisor),
        quotient16(i32x4.extend_high_i16x8_s(a), divisor),
      );
    }
    return i16x8.narrow_i32x4_u(
      quotient16(i32x4.extend_low_i16x8_u(a), divisor),
      quotient16(i32x4.extend_high_i16x8_u(a), divisor),
    );
  }
  const high = v128.shuffle<i64>(a, a, 1, 0);
  const low32 = quotient32<T>(a, divisor);
  const high32 = quotient32<T>(high, divisor);
  return v128.shuffle<i64>(low32, high32, 0, 2);
}

// @ts-ignore: decorator
@inline
function quotient16(a: v128, divisor: v128): v128 {
  return i32x4.trunc_sat_f32x4_s(f32x4.div(f32x4.convert_i32x4_s(a), divisor));
}

/** The quotients of the low two lanes. */
// @ts-ignore: decorator
@inline
function quotient32<T>(a: v128, divisor: v128): v128 {
  if (isSigned<T>()) return i32x4.trunc_sat_f64x2_s_zero(f64x2.div(f64x2.convert_low_i32x4_s(a), divisor));
  return i32x4.trunc_sat_f64x2_u_zero(f64x2.div(f64x2.convert_low_i32x4_u(a), divisor));
}
