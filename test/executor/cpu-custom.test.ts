import { beforeAll, describe, expect, it } from "vitest";
import { createCpuExecutor } from "../../src/executor/cpu/cpu-executor.ts";
import type { HostExecutor } from "../../src/executor/executor.ts";
import { ReduceOp } from "../../src/reduce-op.ts";
import { describe as viewOf } from "../../src/tensor/describe.ts";
import type { Tensor } from "../../src/types.ts";

let executor: HostExecutor;
beforeAll(async () => {
  executor = await createCpuExecutor();
  await executor.loadRareLoops();
});

describe("custom operations", () => {
  const custom = (js: (a: never, b: never) => unknown, identity: number | bigint = 0) =>
    ReduceOp.custom({
      name: "mine",
      wgsl: "a",
      js: js as (a: number, b: number) => number,
      identity,
      commutative: false,
    });
  const run = (op: ReturnType<typeof custom>, left: Tensor, right: Tensor) => {
    const target = executor.span(viewOf(left));
    executor.reduce(op, target, target, executor.span(viewOf(right)));
  };

  it("see numbers, the left operand first, and are rounded to the dtype", () => {
    const f32 = Float32Array.of(1, 1, 0);
    run(
      custom((a: number, b: number) => a - b / 3),
      f32,
      Float32Array.of(1, -1, 0),
    );
    expect(f32).toEqual(Float32Array.of(Math.fround(1 - 1 / 3), Math.fround(1 + 1 / 3), 0));
    const f16 = Uint16Array.of(0x3c00);
    run(
      custom((a: number, b: number) => (a + b) / 3),
      { data: f16, dtype: "f16" },
      { data: Uint16Array.of(0), dtype: "f16" },
    );
    expect(f16[0]).toBe(0x3555);
    const bf16 = Uint16Array.of(0x3f80);
    run(
      custom((a: number, b: number) => a / 3 + b),
      { data: bf16, dtype: "bf16" },
      { data: Uint16Array.of(0), dtype: "bf16" },
    );
    expect(bf16[0]).toBe(0x3eab);
  });

  it("wrap integers, and see bigints for 64 bits", () => {
    const i8 = Int8Array.of(100, -100);
    run(
      custom((a: number, b: number) => a + b),
      i8,
      Int8Array.of(100, -100),
    );
    expect(i8).toEqual(Int8Array.of(-56, 56));
    const u64 = BigUint64Array.of(2n ** 63n);
    run(
      custom((a: bigint, b: bigint) => a * b + 1n, 1n),
      u64,
      BigUint64Array.of(2n),
    );
    expect(u64).toEqual(BigUint64Array.of(1n));
  });

  it.each(["f16", "bf16", "f32", "f64"] as const)("give the canonical NaN in %s", (dtype) => {
    const [left, right] = [executor.alloc(dtype, 2), executor.alloc(dtype, 2)];
    run(
      custom((a: number, b: number) => Math.sqrt(a + b - 1)),
      left,
      right,
    );
    const nan = { f16: "007e", bf16: "c07f", f32: "0000c07f", f64: "000000000000f87f" }[dtype];
    const bytes = (executor.read(executor.span(viewOf(left))) as { bytes: Uint8Array }).bytes;
    expect(Buffer.from(bytes).toString("hex")).toBe(nan + nan);
  });

  it("that return the wrong type, or throw, are errors that say so", () => {
    const f32 = new Float32Array(2);
    expect(() =>
      run(
        custom(() => 1n),
        f32,
        f32,
      ),
    ).toThrow("custom op mine: js must return a number for f32 tensors");
    expect(() =>
      run(
        custom(() => undefined),
        f32,
        f32,
      ),
    ).toThrow("it returned a undefined");
    const i64 = new BigInt64Array(2);
    expect(() =>
      run(
        custom(() => 1),
        i64,
        i64,
      ),
    ).toThrow("js must return a bigint for i64 tensors");
    const boom = () => {
      throw new Error("boom");
    };
    expect(() => run(custom(boom), f32, f32)).toThrow("boom");
  });
});
