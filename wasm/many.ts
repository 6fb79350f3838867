/**
 * A module of its own: the kernels that fold many operands in one pass, one per operation and lane type, named as in
 * kernels.ts. Threads live on them; a page that talks to a hub never loads them.
 */
import { Op } from "./lanes";
import { Format } from "./half";
import { many, manyHalf } from "./loops";

export function sum_i8(t: usize, s: i32, d: i32, n: usize): void { many<i8>(Op.SUM, t, s, d, n); }
export function sum_i16(t: usize, s: i32, d: i32, n: usize): void { many<i16>(Op.SUM, t, s, d, n); }
export function sum_i32(t: usize, s: i32, d: i32, n: usize): void { many<i32>(Op.SUM, t, s, d, n); }
export function sum_i64(t: usize, s: i32, d: i32, n: usize): void { many<i64>(Op.SUM, t, s, d, n); }
export function sum_f16(t: usize, s: i32, d: i32, n: usize): void { manyHalf(Format.F16, Op.SUM, t, s, d, n); }
export function sum_bf16(t: usize, s: i32, d: i32, n: usize): void { manyHalf(Format.BF16, Op.SUM, t, s, d, n); }
export function sum_f32(t: usize, s: i32, d: i32, n: usize): void { many<f32>(Op.SUM, t, s, d, n); }
export function sum_f64(t: usize, s: i32, d: i32, n: usize): void { many<f64>(Op.SUM, t, s, d, n); }

export function product_i8(t: usize, s: i32, d: i32, n: usize): void { many<i8>(Op.PRODUCT, t, s, d, n); }
export function product_i16(t: usize, s: i32, d: i32, n: usize): void { many<i16>(Op.PRODUCT, t, s, d, n); }
export function product_i32(t: usize, s: i32, d: i32, n: usize): void { many<i32>(Op.PRODUCT, t, s, d, n); }
export function product_i64(t: usize, s: i32, d: i32, n: usize): void { many<i64>(Op.PRODUCT, t, s, d, n); }
export function product_f16(t: usize, s: i32, d: i32, n: usize): void { manyHalf(Format.F16, Op.PRODUCT, t, s, d, n); }
export function product_bf16(t: usize, s: i32, d: i32, n: usize): void { manyHalf(Format.BF16, Op.PRODUCT, t, s, d, n); }
export function product_f32(t: usize, s: i32, d: i32, n: usize): void { many<f32>(Op.PRODUCT, t, s, d, n); }
export function product_f64(t: usize, s: i32, d: i32, n: usize): void { many<f64>(Op.PRODUCT, t, s, d, n); }

export function min_i8(t: usize, s: i32, d: i32, n: usize): void { many<i8>(Op.MIN, t, s, d, n); }
export function min_u8(t: usize, s: i32, d: i32, n: usize): void { many<u8>(Op.MIN, t, s, d, n); }
export function min_i16(t: usize, s: i32, d: i32, n: usize): void { many<i16>(Op.MIN, t, s, d, n); }
export function min_u16(t: usize, s: i32, d: i32, n: usize): void { many<u16>(Op.MIN, t, s, d, n); }
export function min_i32(t: usize, s: i32, d: i32, n: usize): void { many<i32>(Op.MIN, t, s, d, n); }
export function min_u32(t: usize, s: i32, d: i32, n: usize): void { many<u32>(Op.MIN, t, s, d, n); }
export function min_i64(t: usize, s: i32, d: i32, n: usize): void { many<i64>(Op.MIN, t, s, d, n); }
export function min_u64(t: usize, s: i32, d: i32, n: usize): void { many<u64>(Op.MIN, t, s, d, n); }
export function min_f16(t: usize, s: i32, d: i32, n: usize): void { manyHalf(Format.F16, Op.MIN, t, s, d, n); }
export function min_bf16(t: usize, s: i32, d: i32, n: usize): void { manyHalf(Format.BF16, Op.MIN, t, s, d, n); }
export function min_f32(t: usize, s: i32, d: i32, n: usize): void { many<f32>(Op.MIN, t, s, d, n); }
export function min_f64(t: usize, s: i32, d: i32, n: usize): void { many<f64>(Op.MIN, t, s, d, n); }

export function max_i8(t: usize, s: i32, d: i32, n: usize): void { many<i8>(Op.MAX, t, s, d, n); }
export function max_u8(t: usize, s: i32, d: i32, n: usize): void { many<u8>(Op.MAX, t, s, d, n); }
export function max_i16(t: usize, s: i32, d: i32, n: usize): void { many<i16>(Op.MAX, t, s, d, n); }
export function max_u16(t: usize, s: i32, d: i32, n: usize): void { many<u16>(Op.MAX, t, s, d, n); }
export function max_i32(t: usize, s: i32, d: i32, n: usize): void { many<i32>(Op.MAX, t, s, d, n); }
export function max_u32(t: usize, s: i32, d: i32, n: usize): void { many<u32>(Op.MAX, t, s, d, n); }
export function max_i64(t: usize, s: i32, d: i32, n: usize): void { many<i64>(Op.MAX, t, s, d, n); }
export function max_u64(t: usize, s: i32, d: i32, n: usize): void { many<u64>(Op.MAX, t, s, d, n); }
export function max_f16(t: usize, s: i32, d: i32, n: usize): void { manyHalf(Format.F16, Op.MAX, t, s, d, n); }
export function max_bf16(t: usize, s: i32, d: i32, n: usize): void { manyHalf(Format.BF16, Op.MAX, t, s, d, n); }
export function max_f32(t: usize, s: i32, d: i32, n: usize): void { many<f32>(Op.MAX, t, s, d, n); }
export function max_f64(t: usize, s: i32, d: i32, n: usize): void { many<f64>(Op.MAX, t, s, d, n); }

export function band_i8(t: usize, s: i32, d: i32, n: usize): void { many<i8>(Op.BAND, t, s, d, n); }
export function bor_i8(t: usize, s: i32, d: i32, n: usize): void { many<i8>(Op.BOR, t, s, d, n); }
export function bxor_i8(t: usize, s: i32, d: i32, n: usize): void { many<i8>(Op.BXOR, t, s, d, n); }
