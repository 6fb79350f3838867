import { describe, expect, it } from "vitest";
import { createAddressableCpuExecutor, createCpuExecutor } from "../../src/executor/cpu/cpu-executor.ts";
import { createMemory } from "../../src/executor/cpu/wasm-memory.ts";
import { ReduceOp } from "../../src/reduce-op.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";
import { describe as viewOf } from "../../src/tensor/describe.ts";
import { bytesPerElement, DATA_TYPES, isFloat } from "../../src/types.ts";

const executor = await createCpuExecutor();
await executor.loadRareLoops();
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
        executor.span(viewOf(target)),
        arrays.map((array) => executor.span(viewOf(array))),
      );
      expect([...target]).toEqual([65, 65]);
      arrays.forEach((array, i) => {
        if (array !== target) expect([...array]).toEqual([values[i], values[i]]);
      });
    }
  });

  it("copies a single operand", () => {
    const target = new Float32Array(3);
    executor.reduceMany(ReduceOp.SUM, executor.span(viewOf(target)), [executor.span(viewOf(Float32Array.of(1, 2, 3)))]);
    expect([...target]).toEqual([1, 2, 3]);
  });
});

describe("reduceInto()", () => {
  /** Lengths in bytes around those at which the kernels' loops end. */
  const LENGTHS = [64, 72, 120, 128, 136, 1000];

  it.each(DATA_TYPES)("gives every target the bits of folds by pairs, of %s", async (dtype) => {
    const shared = (await createAddressableCpuExecutor(createMemory().memory))!.executor;
    const random = new SeededRandom(11);
    const all = [ReduceOp.SUM, ReduceOp.PRODUCT, ReduceOp.MIN, ReduceOp.MAX];
    const ops = isFloat(dtype) ? all : [...all, ReduceOp.BAND, ReduceOp.BOR, ReduceOp.BXOR];
    for (const ranks of [2, 3]) {
      for (const byteLength of LENGTHS) {
        for (const op of ops) {
          const spans = Array.from({ length: ranks }, () => shared.scratch(dtype, byteLength / bytesPerElement(dtype)));
          for (const span of spans) {
            const { bytes } = shared.receive(span);
            for (let i = 0; i < byteLength; i++) bytes[i] = random.below(256);
          }
          const copies = spans.map((span) => {
            const copy = shared.scratch(dtype, span.count);
            shared.copy(copy, span);
            return copy;
          });
          for (const copy of copies.slice(1)) shared.reduce(op, copies[0]!, copies[0]!, copy);
          shared.reduceInto(op, spans, spans);
          const expected = [...(await shared.read(copies[0]!)).bytes];
          for (const span of spans) expect([...(await shared.read(span)).bytes]).toEqual(expected);
          for (const span of [...spans, ...copies]) shared.release(span);
        }
      }
    }
  });
});
