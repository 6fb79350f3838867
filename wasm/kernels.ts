/**
 * The module's exports, one per operation and lane type. Where the sign makes no difference the signed kernel serves
 * both (i8 for i8 and u8, and so on), and the bitwise ones serve every integer.
 */
import { Op } from "./lanes";
import { Format } from "./half";
import { binary, binaryHalf, divide, scale, scaleHalf } from "./loops";

export { gather, scatter } from "./runs";

export function sum_i8(d: usize, l: usize, r: usize, n: usize): void { binary<i8>(Op.SUM, d, l, r, n); }
export function sum_i16(d: usize, l: usize, r: usize, n: usize): void { binary<i16>(Op.SUM, d, l, r, n); }
export function sum_i32(d: usize, l: usize, r: usize, n: usize): void { binary<i32>(Op.SUM, d, l, r, n); }
export function sum_i64(d: usize, l: usize, r: usize, n: usize): void { binary<i64>(Op.SUM, d, l, r, n); }
export function sum_f16(d: usize, l: usize, r: usize, n: usize): void { binaryHalf(Format.F16, Op.SUM, d, l, r, n); }
export function sum_bf16(d: usize, l: usize, r: usize, n: usize): void { binaryHalf(Format.BF16, Op.SUM, d, l, r, n); }
export function sum_f32(d: usize, l: usize, r: usize, n: usize): void { binary<f32>(Op.SUM, d, l, r, n); }
export function sum_f64(d: usize, l: usize, r: usize, n: usize): void { binary<f64>(Op.SUM, d, l, r, n); }

export function product_i8(d: usize, l: usize, r: usize, n: usize): void { binary<i8>(Op.PRODUCT, d, l, r, n); }
export function product_i16(d: usize, l: usize, r: usize, n: usize): void { binary<i16>(Op.PRODUCT, d, l, r, n); }
export function product_i32(d: usize, l: usize, r: usize, n: usize): void { binary<i32>(Op.PRODUCT, d, l, r, n); }
export function product_i64(d: usize, l: usize, r: usize, n: usize): void { binary<i64>(Op.PRODUCT, d, l, r, n); }
export function product_f16(d: usize, l: usize, r: usize, n: usize): void { binaryHalf(Format.F16, Op.PRODUCT, d, l, r, n); }
export function product_bf16(d: usize, l: usize, r: usize, n: usize): void { binaryHalf(Format.BF16, Op.PRODUCT, d, l, r, n); }
export function product_f32(d: usize, l: usize, r: usize, n: usize): void { binary<f32>(Op.PRODUCT, d, l, r, n); }
export function product_f64(d: usize, l: usize, r: usize, n: usize): void { binary<f64>(Op.PRODUCT, d, l, r, n); }

export function min_i8(d: usize, l: usize, r: usize, n: usize): void { binary<i8>(Op.MIN, d, l, r, n); }
export function min_u8(d: usize, l: usize, r: usize, n: usize): void { binary<u8>(Op.MIN, d, l, r, n); }
export function min_i16(d: usize, l: usize, r: usize, n: usize): void { binary<i16>(Op.MIN, d, l, r, n); }
export function min_u16(d: usize, l: usize, r: usize, n: usize): void { binary<u16>(Op.MIN, d, l, r, n); }
export function min_i32(d: usize, l: usize, r: usize, n: usize): void { binary<i32>(Op.MIN, d, l, r, n); }
export function min_u32(d: usize, l: usize, r: usize, n: usize): void { binary<u32>(Op.MIN, d, l, r, n); }
export function min_i64(d: usize, l: usize, r: usize, n: usize): void { binary<i64>(Op.MIN, d, l, r, n); }
export function min_u64(d: usize, l: usize, r: usize, n: usize): void { binary<u64>(Op.MIN, d, l, r, n); }
export function min_f16(d: usize, l: usize, r: usize, n: usize): void { binaryHalf(Format.F16, Op.MIN, d, l, r, n); }
export function min_bf16(d: usize, l: usize, r: usize, n: usize): void { binaryHalf(Format.BF16, Op.MIN, d, l, r, n); }
export function min_f32(d: usize, l: usize, r: usize, n: usize): void { binary<f32>(Op.MIN, d, l, r, n); }
export function min_f64(d: usize, l: usize, r: usize, n: usize): void { binary<f64>(Op.MIN, d, l, r, n); }

export function max_i8(d: usize, l: usize, r: usize, n: usize): void { binary<i8>(Op.MAX, d, l, r, n); }
export function max_u8(d: usize, l: usize, r: usize, n: usize): void { binary<u8>(Op.MAX, d, l, r, n); }
export function max_i16(d: usize, l: usize, r: usize, n: usize): void { binary<i16>(Op.MAX, d, l, r, n); }
export function max_u16(d: usize, l: usize, r: usize, n: usize): void { binary<u16>(Op.MAX, d, l, r, n); }
export function max_i32(d: usize, l: usize, r: usize, n: usize): void { binary<i32>(Op.MAX, d, l, r, n); }
export function max_u32(d: usize, l: usize, r: usize, n: usize): void { binary<u32>(Op.MAX, d, l, r, n); }
export function max_i64(d: usize, l: usize, r: usize, n: usize): void { binary<i64>(Op.MAX, d, l, r, n); }
export function max_u64(d: usize, l: usize, r: usize, n: usize): void { binary<u64>(Op.MAX, d, l, r, n); }
export function max_f16(d: usize, l: usize, r: usize, n: usize): void { binaryHalf(Format.F16, Op.MAX, d, l, r, n); }
export function max_bf16(d: usize, l: usize, r: usize, n: usize): void { binaryHalf(Format.BF16, Op.MAX, d, l, r, n); }
export function max_f32(d: usize, l: usize, r: usize, n: usize): void { binary<f32>(Op.MAX, d, l, r, n); }
export function max_f64(d: usize, l: usize, r: usize, n: usize): void { binary<f64>(Op.MAX, d, l, r, n); }

export function band_i8(d: usize, l: usize, r: usize, n: usize): void { binary<i8>(Op.BAND, d, l, r, n); }
export function bor_i8(d: usize, l: usize, r: usize, n: usize): void { binary<i8>(Op.BOR, d, l, r, n); }
export function bxor_i8(d: usize, l: usize, r: usize, n: usize): void { binary<i8>(Op.BXOR, d, l, r, n); }

export function scale_i8(d: usize, factor: i32, n: usize): void { scale<i8>(d, factor as i8, n); }
export function scale_i16(d: usize, factor: i32, n: usize): void { scale<i16>(d, factor as i16, n); }
export function scale_i32(d: usize, factor: i32, n: usize): void { scale<i32>(d, factor, n); }
export function scale_i64(d: usize, factor: i64, n: usize): void { scale<i64>(d, factor, n); }
export function scale_f16(d: usize, factor: f32, n: usize): void { scaleHalf(Format.F16, d, factor, n); }
export function scale_bf16(d: usize, factor: f32, n: usize): void { scaleHalf(Format.BF16, d, factor, n); }
export function scale_f32(d: usize, factor: f32, n: usize): void { scale<f32>(d, factor, n); }
export function scale_f64(d: usize, factor: f64, n: usize): void { scale<f64>(d, factor, n); }

export function divide_i8(d: usize, divisor: i32, n: usize): void { divide<i8>(d, divisor, n); }
export function divide_u8(d: usize, divisor: i32, n: usize): void { divide<u8>(d, divisor, n); }
export function divide_i16(d: usize, divisor: i32, n: usize): void { divide<i16>(d, divisor, n); }
export function divide_u16(d: usize, divisor: i32, n: usize): void { divide<u16>(d, divisor, n); }
export function divide_i32(d: usize, divisor: i32, n: usize): void { divide<i32>(d, divisor, n); }
export function divide_u32(d: usize, divisor: i32, n: usize): void { divide<u32>(d, divisor, n); }
export function divide_i64(d: usize, divisor: i32, n: usize): void { divide<i64>(d, divisor, n); }
export function divide_u64(d: usize, divisor: i32, n: usize): void { divide<u64>(d, divisor, n); }

/** dst = src; the two may overlap. */
export function move(dst: usize, src: usize, bytes: usize): void { memory.copy(dst, src, bytes); }
