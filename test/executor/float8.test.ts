import { afterAll, describe, expect, it } from "vitest";
import { createCpuExecutor } from "../../src/executor/cpu/cpu-executor.ts";
import { f8ToF32, f32ToF8 } from "../../src/executor/cpu/float8.ts";
import { testExecutor } from "../helpers/gpu.ts";
import { FLOAT8_TYPES, float8Cases, float8Difference } from "./float8-cases.ts";
import { randomSource, SEED } from "./random.ts";
import { writeFloat } from "./reference.ts";

const gpu = await testExecutor();
const executors = {
  wasm: await createCpuExecutor(),
  "plain loops": await createCpuExecutor({ wasm: false }),
  gpu,
};
await Promise.all([executors.wasm, executors["plain loops"]].map((executor) => executor.loadRareLoops()));
afterAll(() => gpu.dispose());

describe.each(FLOAT8_TYPES)("all 65,536 pairs of %s", (dtype) => {
  for (const foldCase of float8Cases(dtype)) {
    it(`give the reference's bits by ${foldCase.name}, from the cpu and from the GPU`, async () => {
      const expected = foldCase.expected();
      for (const executor of Object.values(executors)) {
        expect(await float8Difference(executor, dtype, foldCase, expected)).toBe("");
      }
    });
  }
});

describe("f8ToF32()", () => {
  it("knows the numbers that the format's specification names", () => {
    const e4m3 = [0x00, 0x01, 0x07, 0x08, 0x38, 0x7e, 0x7f].map((bits) => f8ToF32("f8e4m3", bits));
    expect(e4m3).toEqual([0, 2 ** -9, 0.875 * 2 ** -6, 2 ** -6, 1, 448, Number.NaN]);
    const e5m2 = [0x00, 0x01, 0x03, 0x04, 0x3c, 0x7b, 0x7c, 0x7d].map((bits) => f8ToF32("f8e5m2", bits));
    expect(e5m2).toEqual([0, 2 ** -16, 0.75 * 2 ** -14, 2 ** -14, 1, 57_344, Infinity, Number.NaN]);
    expect(f8ToF32("f8e4m3", 0x80)).toBe(-0);
    expect(f8ToF32("f8e5m2", 0xfc)).toBe(-Infinity);
  });
});

describe("f32ToF8()", () => {
  const view = new DataView(new ArrayBuffer(4));
  const f32FromBits = (bits: number) => {
    view.setUint32(0, bits);
    return view.getFloat32(0);
  };
  const bitsOf = (value: number) => {
    view.setFloat32(0, value);
    return view.getUint32(0);
  };
  const check = (dtype: (typeof FLOAT8_TYPES)[number], value: number) => {
    writeFloat(dtype, view, 0, value);
    const wanted = view.getUint8(0);
    if (f32ToF8(dtype, value) !== wanted) expect(f32ToF8(dtype, value), `${dtype} of ${value}`).toBe(wanted);
  };

  it.each(FLOAT8_TYPES)("of %s rounds ties to even, and their neighbours to the nearer side", (dtype) => {
    for (let bits = 0; bits < 0x7f; bits++) {
      const [low, high] = [f8ToF32(dtype, bits), f8ToF32(dtype, bits + 1)];
      if (!Number.isFinite(low)) break;
      const tie = bitsOf(low + ((Number.isFinite(high) ? high : 2 * low - f8ToF32(dtype, bits - 1)) - low) / 2);
      for (const near of [tie - 1, tie, tie + 1]) {
        check(dtype, f32FromBits(near));
        check(dtype, -f32FromBits(near));
      }
    }
    expect(f32ToF8("f8e4m3", 463.9)).toBe(0x7e);
    expect(f32ToF8("f8e4m3", -Infinity)).toBe(0xfe);
    expect(f32ToF8("f8e5m2", 61_439.9)).toBe(0x7b);
    expect(f32ToF8("f8e5m2", 61_440)).toBe(0x7c);
  });

  it(`rounds 200,000 random f32 patterns to the nearest (seed ${SEED})`, () => {
    const random = randomSource(SEED);
    for (let i = 0; i < 200_000; i++) {
      // Every other one within the range of the 8-bit floats, with room on both sides.
      const near = ((random() & 0x80000000) | (0x36000000 + (random() % 0x12000000))) >>> 0;
      const value = f32FromBits(i % 2 === 0 ? random() : near);
      for (const dtype of FLOAT8_TYPES) check(dtype, value);
    }
  });
});
