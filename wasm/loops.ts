/**
 * The loops around one vector's work, one per shape. All take byte addresses, aligned to nothing, and a length in
 * bytes of at least 16 (64-bit division takes any). `dst` may be an operand, else it is disjoint from them.
 *
 * No loop has a scalar tail: the last 16 bytes are computed first, from the untouched operands, and stored last. The
 * vectors before it may write part of the same bytes; they write the same values.
 */
import { Op, combine, divided, scaled, splat } from "./lanes";
import { Format, combineHalf, scaledHalf } from "./half";

/** dst = left op right. */
// @ts-ignore: decorator
@inline
export function binary<T>(op: Op, dst: usize, left: usize, right: usize, bytes: usize): void {
  const last = bytes - 16;
  const tail = combine<T>(op, v128.load(left + last), v128.load(right + last));
  let i: usize = 0;
  for (; i + 32 <= bytes; i += 32) {
    const low = combine<T>(op, v128.load(left + i), v128.load(right + i));
    const high = combine<T>(op, v128.load(left + i, 16), v128.load(right + i, 16));
    v128.store(dst + i, low);
    v128.store(dst + i, high, 16);
  }
  if (i < last) v128.store(dst + i, combine<T>(op, v128.load(left + i), v128.load(right + i)));
  v128.store(dst + last, tail);
}

/** dst = left op right, for f16 and bf16. */
// @ts-ignore: decorator
@inline
export function binaryHalf(format: Format, op: Op, dst: usize, left: usize, right: usize, bytes: usize): void {
  const last = bytes - 16;
  const tail = combineHalf(format, op, v128.load(left + last), v128.load(right + last));
  for (let i: usize = 0; i < last; i += 16) {
    v128.store(dst + i, combineHalf(format, op, v128.load(left + i), v128.load(right + i)));
  }
  v128.store(dst + last, tail);
}

/** dst = dst * factor. */
// @ts-ignore: decorator
@inline
export function scale<T>(dst: usize, factor: T, bytes: usize): void {
  const factors = splat<T>(factor);
  const last = bytes - 16;
  const tail = scaled<T>(v128.load(dst + last), factors);
  let i: usize = 0;
  for (; i + 32 <= bytes; i += 32) {
    const low = scaled<T>(v128.load(dst + i), factors);
    const high = scaled<T>(v128.load(dst + i, 16), factors);
    v128.store(dst + i, low);
    v128.store(dst + i, high, 16);
  }
  if (i < last) v128.store(dst + i, scaled<T>(v128.load(dst + i), factors));
  v128.store(dst + last, tail);
}

/** dst = dst * factor, for f16 and bf16. */
// @ts-ignore: decorator
@inline
export function scaleHalf(format: Format, dst: usize, factor: f32, bytes: usize): void {
  const factors = f32x4.splat(factor);
  const last = bytes - 16;
  const tail = scaledHalf(format, v128.load(dst + last), factors);
  for (let i: usize = 0; i < last; i += 16) {
    v128.store(dst + i, scaledHalf(format, v128.load(dst + i), factors));
  }
  v128.store(dst + last, tail);
}

/**
 * dst = dst / divisor, truncated. SIMD divides no 64-bit integers: those go one by one, and gain nothing over a plain
 * loop (1.0 times its speed), which V8 compiles to the same division instruction.
 */
// @ts-ignore: decorator
@inline
export function divide<T>(dst: usize, divisor: i32, bytes: usize): void {
  if (sizeof<T>() == 8) {
    for (let i: usize = 0; i < bytes; i += 8) store<T>(dst + i, load<T>(dst + i) / (divisor as T));
    return;
  }
  const divisors = sizeof<T>() == 4 ? f64x2.splat(divisor as f64) : f32x4.splat(divisor as f32);
  const last = bytes - 16;
  const tail = divided<T>(v128.load(dst + last), divisors);
  for (let i: usize = 0; i < last; i += 16) v128.store(dst + i, divided<T>(v128.load(dst + i), divisors));
  v128.store(dst + last, tail);
}

/** Both targets = left op right, 64 bytes at a time up to `last`: most threads are two. */
// @ts-ignore: decorator
@inline
function pair<T>(op: Op, first: usize, second: usize, left: usize, right: usize, last: usize): void {
  for (let i: usize = 0; i < last; i += 64) {
    const a = combine<T>(op, v128.load(left + i), v128.load(right + i));
    const b = combine<T>(op, v128.load(left + i, 16), v128.load(right + i, 16));
    const c = combine<T>(op, v128.load(left + i, 32), v128.load(right + i, 32));
    const d = combine<T>(op, v128.load(left + i, 48), v128.load(right + i, 48));
    v128.store(first + i, a);
    v128.store(first + i, b, 16);
    v128.store(first + i, c, 32);
    v128.store(first + i, d, 48);
    v128.store(second + i, a);
    v128.store(second + i, b, 16);
    v128.store(second + i, c, 32);
    v128.store(second + i, d, 48);
  }
}

/**
 * Every target = ((x0 op x1) op x2) … over all sources, in one pass. `table` holds the addresses of `sources` operands, then
 * those of `targets` results, 32 bits each; a target may be a source, else it is disjoint from all. At least 64 bytes.
 *
 * 64 bytes at a time, so that following the addresses costs little. The last 64 bytes are computed first, from the
 * untouched operands, and stored last.
 */
// @ts-ignore: decorator
@inline
export function many<T>(op: Op, table: usize, sources: i32, targets: i32, bytes: usize): void {
  const middle = table + ((sources as usize) << 2);
  const end = middle + ((targets as usize) << 2);
  const last = bytes - 64;
  let p: usize = load<u32>(table) + last;
  let ta = v128.load(p);
  let tb = v128.load(p, 16);
  let tc = v128.load(p, 32);
  let td = v128.load(p, 48);
  for (let at = table + 4; at < middle; at += 4) {
    p = load<u32>(at) + last;
    ta = combine<T>(op, ta, v128.load(p));
    tb = combine<T>(op, tb, v128.load(p, 16));
    tc = combine<T>(op, tc, v128.load(p, 32));
    td = combine<T>(op, td, v128.load(p, 48));
  }
  const isPair = sources == 2 && targets == 2;
  if (isPair) pair<T>(op, load<u32>(middle), load<u32>(middle, 4), load<u32>(table), load<u32>(table, 4), last);
  for (let i: usize = isPair ? last : 0; i < last; i += 64) {
    p = load<u32>(table) + i;
    let a = v128.load(p);
    let b = v128.load(p, 16);
    let c = v128.load(p, 32);
    let d = v128.load(p, 48);
    for (let at = table + 4; at < middle; at += 4) {
      p = load<u32>(at) + i;
      a = combine<T>(op, a, v128.load(p));
      b = combine<T>(op, b, v128.load(p, 16));
      c = combine<T>(op, c, v128.load(p, 32));
      d = combine<T>(op, d, v128.load(p, 48));
    }
    for (let at = middle; at < end; at += 4) {
      p = load<u32>(at) + i;
      v128.store(p, a);
      v128.store(p, b, 16);
      v128.store(p, c, 32);
      v128.store(p, d, 48);
    }
  }
  for (let at = middle; at < end; at += 4) {
    p = load<u32>(at) + last;
    v128.store(p, ta);
    v128.store(p, tb, 16);
    v128.store(p, tc, 32);
    v128.store(p, td, 48);
  }
}

/** The same for f16 and bf16, 16 bytes at a time: here the arithmetic is what costs. At least 16 bytes. */
// @ts-ignore: decorator
@inline
export function manyHalf(format: Format, op: Op, table: usize, sources: i32, targets: i32, bytes: usize): void {
  const middle = table + ((sources as usize) << 2);
  const end = middle + ((targets as usize) << 2);
  const last = bytes - 16;
  let tail = v128.load(load<u32>(table) + last);
  for (let at = table + 4; at < middle; at += 4) tail = combineHalf(format, op, tail, v128.load(load<u32>(at) + last));
  for (let i: usize = 0; i < last; i += 16) {
    let a = v128.load(load<u32>(table) + i);
    for (let at = table + 4; at < middle; at += 4) a = combineHalf(format, op, a, v128.load(load<u32>(at) + i));
    for (let at = middle; at < end; at += 4) v128.store(load<u32>(at) + i, a);
  }
  for (let at = middle; at < end; at += 4) v128.store(load<u32>(at) + last, tail);
}
