import { describe, expect, it } from "vitest";
import {
  arrayOf,
  CASE_OPS,
  CaseData,
  combineElements,
  decodeSmallFloat,
  encodeSmallFloat,
  finishElements,
  opFits,
  opOfRank,
  prepareElements,
  SeededRandom,
} from "../../src/testing/index.ts";
import { DATA_TYPES, type HostArray } from "../../src/types.ts";

const hex = (array: HostArray) => Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString("hex");

describe("CaseData", () => {
  it('gives "exact" inputs whose result is the same in every order and grouping', () => {
    let checked = 0;
    for (const dtype of DATA_TYPES) {
      for (const op of CASE_OPS) {
        if (!opFits(op, dtype) || op === "custom-ordered") continue;
        for (const size of [2, 3, 4, 5, 6, 7, 8, 13]) {
          const data = new CaseData();
          const key = { dtype, op, inputs: "exact", size, seed: size } as const;
          const expected = hex(data.total(key, 200));
          const random = new SeededRandom(size, dtype, op);
          for (let trial = 0; trial < 4; trial++) {
            // Two of the remaining parts are joined, until one is left.
            let parts = Array.from({ length: size }, (_, rank) =>
              prepareElements(dtype, opOfRank(op, dtype, rank), data.input(key, rank, 200), size),
            );
            while (parts.length > 1) {
              const [left, right, ...rest] = random.shuffle(parts) as [HostArray, HostArray, ...HostArray[]];
              parts = [combineElements(dtype, opOfRank(op, dtype, 0), left, right), ...rest];
            }
            const result = finishElements(dtype, opOfRank(op, dtype, 0), parts[0] as HostArray, size);
            expect(hex(result), `${dtype} ${op} ${size}`).toBe(expected);
            checked++;
          }
        }
      }
    }
    expect(checked).toBe((8 * 10 + 6 * 7) * 8 * 4);
  });

  it("gives shares of an average that one rounding and two roundings through f32 agree on", () => {
    for (const dtype of ["f16", "bf16"] as const) {
      for (const size of [3, 5, 6, 7, 13]) {
        const key = { dtype, op: "avg", inputs: "exact", size, seed: 3 } as const;
        for (let rank = 0; rank < size; rank++) {
          for (const bits of new CaseData().input(key, rank, 2000)) {
            const share = decodeSmallFloat(dtype, Number(bits)) * Math.fround(1 / size);
            expect(encodeSmallFloat(dtype, share)).toBe(encodeSmallFloat(dtype, Math.fround(share)));
          }
        }
      }
    }
  });

  it("gives inputs that hold NaNs, infinities, both zeros and denormals", () => {
    const input = new CaseData().input({ dtype: "f32", op: "sum", inputs: "exact", size: 4, seed: 1 }, 0, 1000);
    const values = Array.from(input, Number);
    expect(values.some(Number.isNaN)).toBe(true);
    expect(values).toContain(Infinity);
    expect(values).toContain(0);
    expect(values).toContain(-0);
    expect(values.some((value) => value !== 0 && Math.abs(value) < 2 ** -126)).toBe(true);
  });

  it('gives "random" floats whose sum depends on the order', () => {
    const data = new CaseData();
    const key = { dtype: "f32", op: "sum", inputs: "random", size: 3, seed: 1 } as const;
    const [a, b, c] = [0, 1, 2].map((rank) => data.input(key, rank, 1000)) as [HostArray, HostArray, HostArray];
    const op = opOfRank("sum", "f32", 0);
    const backwards = combineElements("f32", op, combineElements("f32", op, c, b), a);
    expect(hex(backwards)).not.toBe(hex(data.total(key, 1000)));
  });

  it("makes a longer input begin with the shorter one", () => {
    for (const dtype of DATA_TYPES) {
      const key = { dtype, op: "sum", inputs: "exact", size: 2, seed: 5 } as const;
      const short = new CaseData().input(key, 1, 37);
      expect(hex(new CaseData().input(key, 1, 100).subarray(0, 37))).toBe(hex(short));
      expect(arrayOf(dtype, 37).constructor).toBe(short.constructor);
    }
  });
});
