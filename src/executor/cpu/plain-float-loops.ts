/**
 * Float loops of the plain kernels, one function for each operation and class of array (see plain-integer-loops.ts).
 *
 * A NaN is written through an integer view: a NaN stored as a float may come out with any payload, and a compiler may
 * fold a test whose two branches look equal to it. f32 computes in f64 and rounds once as it is stored, which gives f32's own
 * result for + and * (f64's 53 bits exceed 2 * 24 + 2; DOI 10.1145/221332.221334).
 */
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16, NAN_BF16, NAN_F16, NAN_F32, NAN_F64 } from "./half.ts";

/** t = l op r for f32; `bits` is the view of t's bytes. */
export const F32_LOOPS = {
  sum(t: Float32Array, l: Float32Array, r: Float32Array, bits: Uint32Array): void {
    for (let i = 0; i < t.length; i++) {
      const x = l[i]! + r[i]!;
      if (!Number.isNaN(x)) t[i] = x;
      else bits[i] = NAN_F32;
    }
  },
  product(t: Float32Array, l: Float32Array, r: Float32Array, bits: Uint32Array): void {
    for (let i = 0; i < t.length; i++) {
      const x = l[i]! * r[i]!;
      if (!Number.isNaN(x)) t[i] = x;
      else bits[i] = NAN_F32;
    }
  },
  min(t: Float32Array, l: Float32Array, r: Float32Array, bits: Uint32Array): void {
    for (let i = 0; i < t.length; i++) {
      const x = Math.min(l[i]!, r[i]!);
      if (!Number.isNaN(x)) t[i] = x;
      else bits[i] = NAN_F32;
    }
  },
  max(t: Float32Array, l: Float32Array, r: Float32Array, bits: Uint32Array): void {
    for (let i = 0; i < t.length; i++) {
      const x = Math.max(l[i]!, r[i]!);
      if (!Number.isNaN(x)) t[i] = x;
      else bits[i] = NAN_F32;
    }
  },
  scale(t: Float32Array, factor: number, bits: Uint32Array): void {
    for (let i = 0; i < t.length; i++) {
      const x = t[i]! * factor;
      if (!Number.isNaN(x)) t[i] = x;
      else bits[i] = NAN_F32;
    }
  },
} as const;

/** t = l op r for f64; `bits` is the view of t's bytes. */
export const F64_LOOPS = {
  sum(t: Float64Array, l: Float64Array, r: Float64Array, bits: BigUint64Array): void {
    for (let i = 0; i < t.length; i++) {
      const x = l[i]! + r[i]!;
      if (!Number.isNaN(x)) t[i] = x;
      else bits[i] = NAN_F64;
    }
  },
  product(t: Float64Array, l: Float64Array, r: Float64Array, bits: BigUint64Array): void {
    for (let i = 0; i < t.length; i++) {
      const x = l[i]! * r[i]!;
      if (!Number.isNaN(x)) t[i] = x;
      else bits[i] = NAN_F64;
    }
  },
  min(t: Float64Array, l: Float64Array, r: Float64Array, bits: BigUint64Array): void {
    for (let i = 0; i < t.length; i++) {
      const x = Math.min(l[i]!, r[i]!);
      if (!Number.isNaN(x)) t[i] = x;
      else bits[i] = NAN_F64;
    }
  },
  max(t: Float64Array, l: Float64Array, r: Float64Array, bits: BigUint64Array): void {
    for (let i = 0; i < t.length; i++) {
      const x = Math.max(l[i]!, r[i]!);
      if (!Number.isNaN(x)) t[i] = x;
      else bits[i] = NAN_F64;
    }
  },
  scale(t: Float64Array, factor: number, bits: BigUint64Array): void {
    for (let i = 0; i < t.length; i++) {
      const x = t[i]! * factor;
      if (!Number.isNaN(x)) t[i] = x;
      else bits[i] = NAN_F64;
    }
  },
} as const;

/** Order-preserving integer of a 16-bit float: negative numbers are inverted, save for the sign. Its own inverse. */
function key(half: number): number {
  const signed = (half << 16) >> 16;
  return signed ^ ((signed >> 15) & 0x7fff);
}

/** t = the smaller element by key, or NaN; `infinity` and `nan` tell the format. */
function minHalf(t: Uint16Array, l: Uint16Array, r: Uint16Array, infinity: number, nan: number): void {
  for (let i = 0; i < t.length; i++) {
    const a = l[i]!;
    const b = r[i]!;
    if ((a & 0x7fff) > infinity || (b & 0x7fff) > infinity) t[i] = nan;
    else t[i] = key(a) < key(b) ? a : b;
  }
}

/** As minHalf, the larger. */
function maxHalf(t: Uint16Array, l: Uint16Array, r: Uint16Array, infinity: number, nan: number): void {
  for (let i = 0; i < t.length; i++) {
    const a = l[i]!;
    const b = r[i]!;
    if ((a & 0x7fff) > infinity || (b & 0x7fff) > infinity) t[i] = nan;
    else t[i] = key(a) > key(b) ? a : b;
  }
}

/** t = l op r for f16. */
export const F16_LOOPS = {
  sum(t: Uint16Array, l: Uint16Array, r: Uint16Array): void {
    for (let i = 0; i < t.length; i++) t[i] = f32ToF16(f16ToF32(l[i]!) + f16ToF32(r[i]!));
  },
  product(t: Uint16Array, l: Uint16Array, r: Uint16Array): void {
    for (let i = 0; i < t.length; i++) t[i] = f32ToF16(f16ToF32(l[i]!) * f16ToF32(r[i]!));
  },
  min(t: Uint16Array, l: Uint16Array, r: Uint16Array): void {
    minHalf(t, l, r, 0x7c00, NAN_F16);
  },
  max(t: Uint16Array, l: Uint16Array, r: Uint16Array): void {
    maxHalf(t, l, r, 0x7c00, NAN_F16);
  },
  scale(t: Uint16Array, factor: number): void {
    for (let i = 0; i < t.length; i++) t[i] = f32ToF16(f16ToF32(t[i]!) * factor);
  },
} as const;

/** t = l op r for bf16. */
export const BF16_LOOPS = {
  sum(t: Uint16Array, l: Uint16Array, r: Uint16Array): void {
    for (let i = 0; i < t.length; i++) t[i] = f32ToBf16(bf16ToF32(l[i]!) + bf16ToF32(r[i]!));
  },
  product(t: Uint16Array, l: Uint16Array, r: Uint16Array): void {
    for (let i = 0; i < t.length; i++) t[i] = f32ToBf16(bf16ToF32(l[i]!) * bf16ToF32(r[i]!));
  },
  min(t: Uint16Array, l: Uint16Array, r: Uint16Array): void {
    minHalf(t, l, r, 0x7f80, NAN_BF16);
  },
  max(t: Uint16Array, l: Uint16Array, r: Uint16Array): void {
    maxHalf(t, l, r, 0x7f80, NAN_BF16);
  },
  scale(t: Uint16Array, factor: number): void {
    for (let i = 0; i < t.length; i++) t[i] = f32ToBf16(bf16ToF32(t[i]!) * factor);
  },
} as const;
