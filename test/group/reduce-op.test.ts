import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ReduceOp, type ReduceOpLike, resolveReduceOp } from "../../src/reduce-op.ts";
import { CASE_OPS, opFits, opOfRank } from "../../src/testing/case-op.ts";
import { DATA_TYPES } from "../../src/types.ts";

const NAMES = ["sum", "avg", "product", "min", "max", "band", "bor", "bxor"] as const;
const js = (a: number, b: number) => a + b;
const custom = (change: object = {}) =>
  ReduceOp.custom({ name: "mine", wgsl: "a + b", js, identity: 0, commutative: true, ...change });

/** Operations of every kind: drawn twice from one seed they are equal, and not the same object. */
const anyOp: fc.Arbitrary<ReduceOp> = fc.oneof(
  fc.constantFrom(...NAMES).map((name) => ReduceOp[name.toUpperCase() as "SUM"]),
  fc.oneof(fc.double(), fc.bigInt(), fc.integer()).map((factor) => ReduceOp.premulSum(factor)),
  fc
    .record({ name: fc.string({ minLength: 1 }), wgsl: fc.string(), identity: fc.integer(), commutative: fc.boolean() })
    .map((fields) => custom(fields)),
);

describe("ReduceOp", () => {
  it("is the class of every operation, and of nothing else", () => {
    for (const dtype of DATA_TYPES) {
      for (const op of CASE_OPS) {
        if (opFits(op, dtype)) expect(opOfRank(op, dtype, 1) instanceof ReduceOp).toBe(true);
      }
    }
    for (const other of [null, undefined, "sum", 3, { name: "sum" }, {}, []]) {
      expect((other as unknown) instanceof ReduceOp).toBe(false);
    }
  });

  it("copies and compares by value", () => {
    fc.assert(
      fc.property(anyOp, anyOp, (op, other) => {
        const copy = new ReduceOp(op);
        expect(copy instanceof ReduceOp && copy !== op && Object.isFrozen(copy)).toBe(true);
        expect(copy).toEqual(op);
        expect(ReduceOp.equal(copy, op)).toBe(true);
        expect(ReduceOp.equal({ ...op } as ReduceOp, op)).toBe(true);
        const fields = (one: ReduceOp) => Object.entries(one).sort();
        const same = fields(op).every(([name, value], i) => {
          const [otherName, otherValue] = fields(other)[i] ?? [];
          return name === otherName && Object.is(value, otherValue);
        });
        expect(ReduceOp.equal(op, other)).toBe(same);
        expect(ReduceOp.equal(other, op)).toBe(same);
      }),
    );
  });

  it.each(NAMES)("%s is a constant, and its name stands for it", (name) => {
    const op = ReduceOp[name.toUpperCase() as "SUM"];
    expect(op.name).toBe(name);
    expect(new ReduceOp(name)).toEqual(op);
    expect(ReduceOp.equal(name, op)).toBe(true);
    expect(resolveReduceOp(name, "i32")).toBe(op);
    expect(resolveReduceOp({ name }, "i32")).toEqual(op);
  });

  it.each([
    [null, /unknown reduce op/],
    [undefined, /unknown reduce op/],
    ["mean", /unknown reduce op "mean": use one of sum, avg/],
    ["custom", /unknown reduce op/],
    [{}, /unknown reduce op/],
    [{ name: "premul-sum" }, /factor must be a number or a bigint, got undefined/],
    [{ name: "custom", label: "x" }, /custom: wgsl must be a string/],
    [{ name: "custom", label: "x", wgsl: "a", js, identity: "0", commutative: true }, /identity must be/],
  ])("%j is none, in every way in which it can be given", (op, says) => {
    for (const give of [
      () => new ReduceOp(op as ReduceOpLike),
      () => resolveReduceOp(op as ReduceOpLike, "i32"),
      () => ReduceOp.equal("sum", op as ReduceOpLike),
    ]) {
      expect(give).toThrow(TypeError);
      expect(give).toThrow(says);
    }
  });
});
