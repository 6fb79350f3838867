import { Float16Array } from "@petamoriken/float16";
import { describe, expect, it } from "vitest";
import { ReduceOp } from "../../src/reduce-op.ts";
import { decodeSmallFloat, encodeSmallFloat, foldElements } from "../../src/testing/index.ts";
import type { DataType, HostArray } from "../../src/types.ts";

/** The fold of one element per rank. */
function fold(dtype: DataType, op: ReduceOp | ReduceOp[], ...inputs: HostArray[]): HostArray {
  return foldElements(dtype, Array.isArray(op) ? op : inputs.map(() => op), inputs);
}

const f32 = (...values: number[]) => Float32Array.of(...values);
const f16 = (...values: number[]) => Uint16Array.from(values, (value) => encodeSmallFloat("f16", value));
const bf16 = (...values: number[]) => Uint16Array.from(values, (value) => encodeSmallFloat("bf16", value));
const bits32 = (array: HostArray) => Array.from(new Uint32Array(array.buffer));

describe("encodeSmallFloat()", () => {
  it("gives back the bits of every f16 and bf16 value", () => {
    for (const [dtype, infinity] of [
      ["f16", 0x7c00],
      ["bf16", 0x7f80],
    ] as const) {
      for (let bits = 0; bits < 0x10000; bits++) {
        const notANumber = (bits & 0x7fff) > infinity;
        const expected = notANumber ? infinity | (dtype === "f16" ? 0x200 : 0x40) : bits;
        if (encodeSmallFloat(dtype, decodeSmallFloat(dtype, bits)) !== expected)
          expect.fail(`${dtype} 0x${bits.toString(16)}`);
      }
    }
  });

  it("agrees with another implementation of f16 half way between neighbours, and beside it", () => {
    const oracle = new Float16Array(1);
    const oracleBits = new Uint16Array(oracle.buffer);
    for (let bits = 0; bits < 0x7c00; bits++) {
      const middle =
        (decodeSmallFloat("f16", bits) + (bits === 0x7bff ? 65536 : decodeSmallFloat("f16", bits + 1))) / 2;
      for (const value of [middle, middle * (1 - 2 ** -50), middle * (1 + 2 ** -50), -middle]) {
        oracle[0] = value;
        if (encodeSmallFloat("f16", value) !== oracleBits[0]) expect.fail(`${value}`);
      }
    }
  });

  it("rounds bf16 to nearest even", () => {
    expect(encodeSmallFloat("bf16", 1)).toBe(0x3f80);
    expect(encodeSmallFloat("bf16", 1 + 2 ** -8)).toBe(0x3f80);
    expect(encodeSmallFloat("bf16", 1 + 3 * 2 ** -8)).toBe(0x3f82);
    expect(encodeSmallFloat("bf16", 1 + 2 ** -8 + 2 ** -40)).toBe(0x3f81);
    expect(encodeSmallFloat("bf16", 2 ** -133)).toBe(1);
    expect(encodeSmallFloat("bf16", 2 ** -134)).toBe(0);
    expect(encodeSmallFloat("bf16", -(2 ** -134))).toBe(0x8000);
    expect(encodeSmallFloat("bf16", 3.4e38)).toBe(0x7f80);
  });
});

describe("foldElements() on integers", () => {
  it("wraps sums and products at the width of the dtype", () => {
    expect(fold("i8", ReduceOp.SUM, Int8Array.of(127), Int8Array.of(1))).toEqual(Int8Array.of(-128));
    expect(fold("u8", ReduceOp.SUM, Uint8Array.of(200), Uint8Array.of(100))).toEqual(Uint8Array.of(44));
    expect(fold("i32", ReduceOp.PRODUCT, Int32Array.of(0x7fffffff), Int32Array.of(0x7fffffff))).toEqual(
      Int32Array.of(1),
    );
    expect(fold("u32", ReduceOp.PRODUCT, Uint32Array.of(0xffffffff), Uint32Array.of(3))).toEqual(
      Uint32Array.of(0xfffffffd),
    );
    expect(fold("i64", ReduceOp.SUM, BigInt64Array.of(2n ** 63n - 1n), BigInt64Array.of(1n))).toEqual(
      BigInt64Array.of(-(2n ** 63n)),
    );
    expect(fold("u64", ReduceOp.PRODUCT, BigUint64Array.of(2n ** 63n + 1n), BigUint64Array.of(2n))).toEqual(
      BigUint64Array.of(2n),
    );
  });

  it("averages by a sum that wraps and a division that truncates", () => {
    expect(fold("i32", ReduceOp.AVG, Int32Array.of(-4, 7), Int32Array.of(-3, 8))).toEqual(Int32Array.of(-3, 7));
    expect(fold("i8", ReduceOp.AVG, Int8Array.of(100), Int8Array.of(100))).toEqual(Int8Array.of(-28));
    expect(fold("u8", ReduceOp.AVG, Uint8Array.of(200), Uint8Array.of(100))).toEqual(Uint8Array.of(22));
    expect(fold("i64", ReduceOp.AVG, BigInt64Array.of(-4n), BigInt64Array.of(-3n))).toEqual(BigInt64Array.of(-3n));
  });

  it("compares by sign and combines bits", () => {
    expect(fold("i16", ReduceOp.MIN, Int16Array.of(-1), Int16Array.of(1))).toEqual(Int16Array.of(-1));
    expect(fold("u16", ReduceOp.MIN, Uint16Array.of(0xffff), Uint16Array.of(1))).toEqual(Uint16Array.of(1));
    expect(fold("u32", ReduceOp.MAX, Uint32Array.of(0xffffffff), Uint32Array.of(1))).toEqual(
      Uint32Array.of(0xffffffff),
    );
    expect(fold("u64", ReduceOp.MAX, BigUint64Array.of(2n ** 64n - 1n), BigUint64Array.of(1n))[0]).toBe(2n ** 64n - 1n);
    expect(fold("u8", ReduceOp.BAND, Uint8Array.of(12), Uint8Array.of(10))[0]).toBe(8);
    expect(fold("u32", ReduceOp.BOR, Uint32Array.of(0x80000000), Uint32Array.of(1))[0]).toBe(0x80000001);
    expect(fold("i64", ReduceOp.BXOR, BigInt64Array.of(12n), BigInt64Array.of(10n))[0]).toBe(6n);
  });

  it("multiplies each rank's input by its own factor", () => {
    const ops = [ReduceOp.premulSum(2), ReduceOp.premulSum(10)];
    expect(fold("i32", ops, Int32Array.of(3), Int32Array.of(5))[0]).toBe(56);
    expect(fold("i8", ops, Int8Array.of(100), Int8Array.of(0))[0]).toBe(-56);
    expect(fold("i64", ops, BigInt64Array.of(3n), BigInt64Array.of(5n))[0]).toBe(56n);
  });

  it("folds a custom operation from the left", () => {
    const js = (a: number, b: number) => a * 31 + b;
    const op = ReduceOp.custom({ name: "digits", wgsl: "a * 31 + b", js, identity: 0, commutative: false });
    expect(fold("i32", op, Int32Array.of(1), Int32Array.of(2), Int32Array.of(3))[0]).toBe((1 * 31 + 2) * 31 + 3);
  });
});

describe("foldElements() on floats", () => {
  it("rounds after every step, from the left", () => {
    const [big, one] = [f32(2 ** 24), f32(1)];
    expect(fold("f32", ReduceOp.SUM, big, one, one)[0]).toBe(2 ** 24);
    expect(fold("f32", ReduceOp.SUM, one, one, big)[0]).toBe(2 ** 24 + 2);
    expect(fold("f64", ReduceOp.SUM, Float64Array.of(2 ** 53), Float64Array.of(1), Float64Array.of(1))[0]).toBe(
      2 ** 53,
    );
    expect(fold("f16", ReduceOp.SUM, f16(2048), f16(1), f16(1))).toEqual(f16(2048));
    expect(fold("bf16", ReduceOp.SUM, bf16(256), bf16(3))).toEqual(bf16(260));
    expect(fold("f16", ReduceOp.SUM, f16(65504), f16(16))).toEqual(Uint16Array.of(0x7c00));
    expect(fold("f16", ReduceOp.PRODUCT, f16(1 + 2 ** -10), f16(1 + 2 ** -10))).toEqual(f16(1 + 2 ** -9));
  });

  it("averages by a rounded share of each input, then a sum", () => {
    const third = Math.fround(Math.fround(1 / 3) * 10);
    const sum = Math.fround(Math.fround(third + third) + third);
    expect(fold("f32", ReduceOp.AVG, f32(10), f32(10), f32(10))[0]).toBe(sum);
    expect(fold("f64", ReduceOp.AVG, Float64Array.of(5), Float64Array.of(2))[0]).toBe(3.5);
    expect(fold("f32", ReduceOp.AVG, f32(3e38), f32(3e38))[0]).toBe(f32(3e38)[0]);
    expect(fold("f16", ReduceOp.AVG, f16(1), f16(0), f16(0))).toEqual(Uint16Array.of(0x3555));
  });

  it("orders minus zero before plus zero, and gives one NaN for any", () => {
    const odd = new Float32Array(Uint32Array.of(0xffc12345).buffer);
    expect(bits32(fold("f32", ReduceOp.MIN, f32(0), f32(-0)))).toEqual([0x80000000]);
    expect(bits32(fold("f32", ReduceOp.MAX, f32(-0), f32(0)))).toEqual([0]);
    expect(bits32(fold("f32", ReduceOp.MIN, odd, f32(1)))).toEqual([0x7fc00000]);
    expect(bits32(fold("f32", ReduceOp.SUM, f32(1), odd))).toEqual([0x7fc00000]);
    expect(bits32(fold("f32", ReduceOp.SUM, f32(Infinity), f32(-Infinity)))).toEqual([0x7fc00000]);
    expect(bits32(fold("f32", ReduceOp.SUM, f32(-0), f32(-0)))).toEqual([0x80000000]);
    expect(bits32(fold("f64", ReduceOp.MAX, Float64Array.of(Number.NaN), Float64Array.of(1)))).toEqual([0, 0x7ff80000]);
    expect(fold("f16", ReduceOp.MAX, Uint16Array.of(0xfe01), f16(1))).toEqual(Uint16Array.of(0x7e00));
    expect(fold("bf16", ReduceOp.SUM, Uint16Array.of(0x7f81), bf16(1))).toEqual(Uint16Array.of(0x7fc0));
  });

  it("keeps denormals", () => {
    expect(bits32(fold("f32", ReduceOp.SUM, f32(2 ** -149), f32(2 ** -149)))).toEqual([2]);
    expect(fold("f16", ReduceOp.SUM, Uint16Array.of(1), Uint16Array.of(2))).toEqual(Uint16Array.of(3));
    expect(fold("bf16", ReduceOp.SUM, Uint16Array.of(1), Uint16Array.of(0x7f))).toEqual(Uint16Array.of(0x80));
  });

  it("refuses bitwise operations", () => {
    expect(() => fold("f32", ReduceOp.BAND, f32(1), f32(1))).toThrow(/band is for integers/);
  });
});
