/**
 * Integer loops of the plain kernels, one function for each operation and class of array: a loop shared by several
 * classes would be compiled for all of them at once and run several times slower. Stores wrap by themselves.
 */

/** t = l op r, over arrays of equal length. */
export const INTEGER_LOOPS = {
  sum_i8(t: Int8Array, l: Int8Array, r: Int8Array): void {
    for (let i = 0; i < t.length; i++) t[i] = l[i]! + r[i]!;
  },
  sum_i16(t: Int16Array, l: Int16Array, r: Int16Array): void {
    for (let i = 0; i < t.length; i++) t[i] = l[i]! + r[i]!;
  },
  sum_i32(t: Int32Array, l: Int32Array, r: Int32Array): void {
    for (let i = 0; i < t.length; i++) t[i] = l[i]! + r[i]!;
  },
  sum_i64(t: BigInt64Array, l: BigInt64Array, r: BigInt64Array): void {
    for (let i = 0; i < t.length; i++) t[i] = l[i]! + r[i]!;
  },
  product_i8(t: Int8Array, l: Int8Array, r: Int8Array): void {
    for (let i = 0; i < t.length; i++) t[i] = l[i]! * r[i]!;
  },
  product_i16(t: Int16Array, l: Int16Array, r: Int16Array): void {
    for (let i = 0; i < t.length; i++) t[i] = l[i]! * r[i]!;
  },
  product_i32(t: Int32Array, l: Int32Array, r: Int32Array): void {
    for (let i = 0; i < t.length; i++) t[i] = Math.imul(l[i]!, r[i]!);
  },
  product_i64(t: BigInt64Array, l: BigInt64Array, r: BigInt64Array): void {
    for (let i = 0; i < t.length; i++) t[i] = l[i]! * r[i]!;
  },
  min_i8(t: Int8Array, l: Int8Array, r: Int8Array): void {
    for (let i = 0; i < t.length; i++) t[i] = Math.min(l[i]!, r[i]!);
  },
  min_u8(t: Uint8Array, l: Uint8Array, r: Uint8Array): void {
    for (let i = 0; i < t.length; i++) t[i] = Math.min(l[i]!, r[i]!);
  },
  min_i16(t: Int16Array, l: Int16Array, r: Int16Array): void {
    for (let i = 0; i < t.length; i++) t[i] = Math.min(l[i]!, r[i]!);
  },
  min_u16(t: Uint16Array, l: Uint16Array, r: Uint16Array): void {
    for (let i = 0; i < t.length; i++) t[i] = Math.min(l[i]!, r[i]!);
  },
  min_i32(t: Int32Array, l: Int32Array, r: Int32Array): void {
    for (let i = 0; i < t.length; i++) t[i] = Math.min(l[i]!, r[i]!);
  },
  min_u32(t: Uint32Array, l: Uint32Array, r: Uint32Array): void {
    for (let i = 0; i < t.length; i++) t[i] = Math.min(l[i]!, r[i]!);
  },
  min_i64(t: BigInt64Array, l: BigInt64Array, r: BigInt64Array): void {
    for (let i = 0; i < t.length; i++) {
      const a = l[i]!;
      const b = r[i]!;
      if (a < b) t[i] = a;
      else t[i] = b;
    }
  },
  min_u64(t: BigUint64Array, l: BigUint64Array, r: BigUint64Array): void {
    for (let i = 0; i < t.length; i++) {
      const a = l[i]!;
      const b = r[i]!;
      if (a < b) t[i] = a;
      else t[i] = b;
    }
  },
  max_i8(t: Int8Array, l: Int8Array, r: Int8Array): void {
    for (let i = 0; i < t.length; i++) t[i] = Math.max(l[i]!, r[i]!);
  },
  max_u8(t: Uint8Array, l: Uint8Array, r: Uint8Array): void {
    for (let i = 0; i < t.length; i++) t[i] = Math.max(l[i]!, r[i]!);
  },
  max_i16(t: Int16Array, l: Int16Array, r: Int16Array): void {
    for (let i = 0; i < t.length; i++) t[i] = Math.max(l[i]!, r[i]!);
  },
  max_u16(t: Uint16Array, l: Uint16Array, r: Uint16Array): void {
    for (let i = 0; i < t.length; i++) t[i] = Math.max(l[i]!, r[i]!);
  },
  max_i32(t: Int32Array, l: Int32Array, r: Int32Array): void {
    for (let i = 0; i < t.length; i++) t[i] = Math.max(l[i]!, r[i]!);
  },
  max_u32(t: Uint32Array, l: Uint32Array, r: Uint32Array): void {
    for (let i = 0; i < t.length; i++) t[i] = Math.max(l[i]!, r[i]!);
  },
  max_i64(t: BigInt64Array, l: BigInt64Array, r: BigInt64Array): void {
    for (let i = 0; i < t.length; i++) {
      const a = l[i]!;
      const b = r[i]!;
      if (a > b) t[i] = a;
      else t[i] = b;
    }
  },
  max_u64(t: BigUint64Array, l: BigUint64Array, r: BigUint64Array): void {
    for (let i = 0; i < t.length; i++) {
      const a = l[i]!;
      const b = r[i]!;
      if (a > b) t[i] = a;
      else t[i] = b;
    }
  },
  band_i8(t: Int8Array, l: Int8Array, r: Int8Array): void {
    for (let i = 0; i < t.length; i++) t[i] = l[i]! & r[i]!;
  },
  band_i16(t: Int16Array, l: Int16Array, r: Int16Array): void {
    for (let i = 0; i < t.length; i++) t[i] = l[i]! & r[i]!;
  },
  band_i32(t: Int32Array, l: Int32Array, r: Int32Array): void {
    for (let i = 0; i < t.length; i++) t[i] = l[i]! & r[i]!;
  },
  bor_i8(t: Int8Array, l: Int8Array, r: Int8Array): void {
    for (let i = 0; i < t.length; i++) t[i] = l[i]! | r[i]!;
  },
  bor_i16(t: Int16Array, l: Int16Array, r: Int16Array): void {
    for (let i = 0; i < t.length; i++) t[i] = l[i]! | r[i]!;
  },
  bor_i32(t: Int32Array, l: Int32Array, r: Int32Array): void {
    for (let i = 0; i < t.length; i++) t[i] = l[i]! | r[i]!;
  },
  bxor_i8(t: Int8Array, l: Int8Array, r: Int8Array): void {
    for (let i = 0; i < t.length; i++) t[i] = l[i]! ^ r[i]!;
  },
  bxor_i16(t: Int16Array, l: Int16Array, r: Int16Array): void {
    for (let i = 0; i < t.length; i++) t[i] = l[i]! ^ r[i]!;
  },
  bxor_i32(t: Int32Array, l: Int32Array, r: Int32Array): void {
    for (let i = 0; i < t.length; i++) t[i] = l[i]! ^ r[i]!;
  },
} as const;

/** t = t * factor, wrapped. */
export const SCALE_LOOPS = {
  i8(t: Int8Array, factor: number): void {
    for (let i = 0; i < t.length; i++) t[i] = Math.imul(t[i]!, factor);
  },
  i16(t: Int16Array, factor: number): void {
    for (let i = 0; i < t.length; i++) t[i] = Math.imul(t[i]!, factor);
  },
  i32(t: Int32Array, factor: number): void {
    for (let i = 0; i < t.length; i++) t[i] = Math.imul(t[i]!, factor);
  },
  i64(t: BigInt64Array, factor: bigint): void {
    for (let i = 0; i < t.length; i++) t[i] = t[i]! * factor;
  },
} as const;

/** t = t / divisor, truncated. */
export const DIVIDE_LOOPS = {
  i8(t: Int8Array, divisor: number): void {
    for (let i = 0; i < t.length; i++) t[i] = t[i]! / divisor;
  },
  u8(t: Uint8Array, divisor: number): void {
    for (let i = 0; i < t.length; i++) t[i] = t[i]! / divisor;
  },
  i16(t: Int16Array, divisor: number): void {
    for (let i = 0; i < t.length; i++) t[i] = t[i]! / divisor;
  },
  u16(t: Uint16Array, divisor: number): void {
    for (let i = 0; i < t.length; i++) t[i] = t[i]! / divisor;
  },
  i32(t: Int32Array, divisor: number): void {
    for (let i = 0; i < t.length; i++) t[i] = t[i]! / divisor;
  },
  u32(t: Uint32Array, divisor: number): void {
    for (let i = 0; i < t.length; i++) t[i] = t[i]! / divisor;
  },
  i64(t: BigInt64Array, divisor: bigint): void {
    for (let i = 0; i < t.length; i++) t[i] = t[i]! / divisor;
  },
  u64(t: BigUint64Array, divisor: bigint): void {
    for (let i = 0; i < t.length; i++) t[i] = t[i]! / divisor;
  },
} as const;
