import { describe, expect, it } from "vitest";
import { createCpuExecutor } from "../../src/executor/cpu.ts";
import { ReduceOp } from "../../src/reduce-op.ts";

const executor = await createCpuExecutor();
const minus = ReduceOp.custom({
  name: "minus",
  wgsl: "a - b",
  js: (a: number, b: number) => a - b,
  identity: 0,
  commutative: false,
});

describe("reduceMany()", () => {
  it.each([0, 1, 2, 3])("folds from the left into operand %i or elsewhere, and keeps the other operands", (own) => {
    for (const inPlace of [true, false]) {
      const values = [100, 30, 4, 1];
      const arrays = values.map((value) => Int32Array.of(value, value));
      const target = inPlace ? arrays[own]! : new Int32Array(2);
      executor.reduceMany(
        minus,
        executor.span(target),
        arrays.map((array) => executor.span(array)),
      );
      expect([...target]).toEqual([65, 65]);
      arrays.forEach((array, i) => {
        if (array !== target) expect([...array]).toEqual([values[i], values[i]]);
      });
    }
  });

  it("copies a single operand", () => {
    const target = new Float32Array(3);
    executor.reduceMany(ReduceOp.SUM, executor.span(target), [executor.span(Float32Array.of(1, 2, 3))]);
    expect([...target]).toEqual([1, 2, 3]);
  });
});
