import { getFloat16, setFloat16 } from "@petamoriken/float16";
import { describe, expect, it } from "vitest";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "../../src/executor/cpu/half.ts";
import { randomSource, SEED } from "./random.ts";
import { writeFloat } from "./reference.ts";

const view = new DataView(new ArrayBuffer(8));

/** The pattern that the reference gives for a value. */
function reference(dtype: "f16" | "bf16", value: number): number {
  writeFloat(dtype, view, 0, value);
  return view.getUint16(0, true);
}

function f32FromBits(bits: number): number {
  view.setUint32(0, bits);
  return view.getFloat32(0);
}

/** f32 patterns at, just below and just above each tie between two neighbours, and between those. */
function* boundaryPatterns(dtype: "f16" | "bf16"): Generator<number> {
  for (let pattern = 0; pattern < 0x7fff; pattern++) {
    const [low, high] =
      dtype === "f16" ? [f16ToF32(pattern), f16ToF32(pattern + 1)] : [bf16ToF32(pattern), bf16ToF32(pattern + 1)];
    const upper = Number.isFinite(high)
      ? high
      : 2 * low - (dtype === "f16" ? f16ToF32(pattern - 1) : bf16ToF32(pattern - 1));
    if (!Number.isFinite(low)) return;
    view.setFloat32(0, low + (upper - low) / 2);
    const tie = view.getUint32(0);
    for (const bits of [tie - 1, tie, tie + 1]) {
      yield bits >>> 0;
      yield (bits | 0x80000000) >>> 0;
    }
  }
}

describe("f16ToF32", () => {
  it("equals another implementation on all 65,536 patterns", () => {
    for (let pattern = 0; pattern < 65_536; pattern++) {
      view.setUint16(0, pattern);
      if (!Object.is(f16ToF32(pattern), getFloat16(view, 0))) expect(f16ToF32(pattern)).toBe(getFloat16(view, 0));
    }
  });
});

describe("f32ToF16", () => {
  it("takes every pattern back from f32, and every NaN to 0x7e00", () => {
    for (let pattern = 0; pattern < 65_536; pattern++) {
      const isNan = (pattern & 0x7fff) > 0x7c00;
      const back = f32ToF16(f16ToF32(pattern));
      if (back !== (isNan ? 0x7e00 : pattern)) expect(back).toBe(isNan ? 0x7e00 : pattern);
    }
  });

  it("rounds ties to even, and their neighbours to the nearer side", () => {
    for (const bits of boundaryPatterns("f16")) {
      const value = f32FromBits(bits);
      setFloat16(view, 4, value);
      if (f32ToF16(value) !== view.getUint16(4))
        expect(f32ToF16(value), `f32 0x${bits.toString(16)}`).toBe(view.getUint16(4));
    }
    expect(f32ToF16(65_519.996)).toBe(0x7bff);
    expect(f32ToF16(65_520)).toBe(0x7c00);
    expect(f32ToF16(-(2 ** -25))).toBe(0x8000);
    expect(f32ToF16(2 ** -25 * 1.0000001)).toBe(0x0001);
  });

  it(`rounds a million random f32 patterns as another implementation does (seed ${SEED})`, () => {
    const random = randomSource(SEED);
    for (let i = 0; i < 1_000_000; i++) {
      // Every other one within f16's range, with room on both sides.
      const bits = i % 2 === 0 ? random() : ((random() & 0x80000000) | (0x32000000 + (random() % 0x16000000))) >>> 0;
      const value = f32FromBits(bits);
      if (f32ToF16(value) !== reference("f16", value)) {
        expect(f32ToF16(value), `f32 0x${bits.toString(16)}`).toBe(reference("f16", value));
      }
    }
  });
});

describe("bf16ToF32 and f32ToBf16", () => {
  it("are each other's inverse on all 65,536 patterns, and give every NaN 0x7fc0", () => {
    for (let pattern = 0; pattern < 65_536; pattern++) {
      const isNan = (pattern & 0x7fff) > 0x7f80;
      const value = bf16ToF32(pattern);
      if (!isNan && !Object.is(value, f32FromBits(pattern * 65_536))) expect(value).toBe(f32FromBits(pattern * 65_536));
      if (f32ToBf16(value) !== (isNan ? 0x7fc0 : pattern)) expect(f32ToBf16(value)).toBe(isNan ? 0x7fc0 : pattern);
    }
  });

  it("round ties to even, and their neighbours to the nearer side", () => {
    for (const bits of boundaryPatterns("bf16")) {
      const value = f32FromBits(bits);
      if (f32ToBf16(value) !== reference("bf16", value)) {
        expect(f32ToBf16(value), `f32 0x${bits.toString(16)}`).toBe(reference("bf16", value));
      }
    }
    expect(f32ToBf16(f32FromBits(0x7f7f8000))).toBe(0x7f80);
    expect(f32ToBf16(f32FromBits(0x7f7f7fff))).toBe(0x7f7f);
  });

  it(`round 200,000 random f32 patterns to the nearest (seed ${SEED})`, () => {
    const random = randomSource(SEED);
    for (let i = 0; i < 200_000; i++) {
      const bits = random();
      const value = f32FromBits(bits);
      if (f32ToBf16(value) !== reference("bf16", value)) {
        expect(f32ToBf16(value), `f32 0x${bits.toString(16)}`).toBe(reference("bf16", value));
      }
    }
  });
});
