import { afterAll, describe, expect, it } from "vitest";
import { createCpuExecutor } from "../../src/executor/cpu/cpu-executor.ts";
import type { Executor } from "../../src/executor/executor.ts";
import { ReduceOp } from "../../src/reduce-op.ts";
import { executorCases, gpuMemory, hostMemory, type TestMemory } from "../../src/testing/index.ts";
import { DATA_TYPES } from "../../src/types.ts";
import { testExecutor } from "../helpers/gpu.ts";

const gpu = await testExecutor();
afterAll(() => gpu.dispose());

const cpu = await createCpuExecutor();
const plain = await createCpuExecutor({ wasm: false });
// `fill` is called where no call was admitted, too.
for (const executor of [cpu, plain]) await executor.loadRareLoops();

/** SwiftShader takes denormals for zero. */
const EXECUTORS: readonly [string, Executor, TestMemory, "exact" | "normal"][] = [
  ["cpu in WebAssembly", cpu, hostMemory, "exact"],
  ["cpu in plain loops", plain, hostMemory, "exact"],
  ["webgpu", gpu, gpuMemory(gpu.device), "normal"],
];

describe.each(EXECUTORS)("the executor conformance suite: %s", (_name, executor, memory, inputs) => {
  it.each(DATA_TYPES)("passes every case of %s", { timeout: 60_000 }, async (dtype) => {
    let ran = 0;
    for (const one of executorCases({ dtypes: [dtype], inputs })) {
      await one.run(executor, memory);
      ran++;
    }
    expect(ran).toBeGreaterThan(12);
  });
});

describe("the executor conformance suite", () => {
  it("finds an executor that rounds, orders, moves or refuses otherwise", async () => {
    const faults: [string, string, Partial<Executor>][] = [
      [
        "sum of f32",
        "reduces",
        { reduce: (_op, target, left, right) => cpu.reduce(ReduceOp.MAX, target, left, right) },
      ],
      ["avg of i32", "finishes", { finish: () => {} }],
      ["premul-sum of bf16", "prepares", { prepare: (_op, input) => cpu.slice(input, 0, input.count) }],
      [
        "read and write of u8",
        "writes",
        {
          write: (span, lease) => {
            lease.bytes.fill(7, 0, 1);
            return cpu.write(span, lease);
          },
        },
      ],
      [
        "pack and unpack of i16",
        "packs",
        {
          packing: (parts, starts) =>
            cpu.packing(
              parts,
              starts.map((at) => (at > 4 ? at - 2 : at)),
            ),
        },
      ],
      [
        "custom-ordered of u32",
        "orders",
        { reduceMany: (op, target, operands) => cpu.reduceMany(op, target, [...operands].reverse()) },
      ],
    ];
    for (const [wanted, verb, change] of faults) {
      const bound = new Proxy(cpu, {
        get: (object, name) => {
          const value = Reflect.get(change, name) ?? Reflect.get(object, name);
          return typeof value === "function" ? value.bind(cpu) : value;
        },
      });
      const [one] = [...executorCases()].filter(({ name }) => name === wanted);
      await expect(one!.run(bound), verb).rejects.toThrow(/^(premul-sum|sum|avg|read|pack|custom)/);
      await one!.run(cpu);
    }
  });
});
