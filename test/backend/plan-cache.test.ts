import { describe, expect, it } from "vitest";
import { addressableRows } from "../../src/algorithm/addressable/rows.ts";
import type { Call } from "../../src/backend/backend.ts";
import { planCollective } from "../../src/backend/direct/plan.ts";
import { PlanCache } from "../../src/backend/direct/plan-cache.ts";
import type { CollectiveRequest } from "../../src/backend/direct/planning.ts";
import { tableWith } from "../../src/backend/direct/select.ts";
import { createAddressableCpuExecutor } from "../../src/executor/cpu/cpu-executor.ts";
import { createMemory } from "../../src/executor/cpu/wasm-memory.ts";
import { ReduceOp } from "../../src/reduce-op.ts";
import type { Request } from "../../src/request.ts";
import { describe as viewOf } from "../../src/tensor/describe.ts";
import type { Tensor } from "../../src/types.ts";

const CALL: Call = {
  sequence: 1,
  algorithm: undefined,
  deterministic: false,
  persistent: 0,
  refusedBefore: 0,
  started: 0,
  began: 0,
  overwritten: false,
};

/** The plans of a group of two threads. `plan` makes one and keeps it. */
async function plans() {
  const { executor } = (await createAddressableCpuExecutor(createMemory().memory))!;
  const scope = {
    executor,
    rank: 0,
    size: 2,
    link: "shared-memory",
    hub: "none",
    table: tableWith(addressableRows),
    crowded: false,
  } as const;
  const repeated = new PlanCache();
  const plan = (request: CollectiveRequest, call = CALL) => {
    const made = planCollective(request, call, { ...scope, sameArithmetic: true, segmentBytes: 65_536 });
    repeated.keep(request, call, made);
    return made;
  };
  return { plan, find: (request: Request, call = CALL) => repeated.find(request, call) };
}

const allReduce = (tensor: Tensor) => ({ collective: "allReduce", tensor: viewOf(tensor), op: ReduceOp.SUM }) as const;

describe("PlanCache", () => {
  it("finds the plan of a call with the same arguments", async () => {
    const { plan, find } = await plans();
    const tensor = new Float32Array(8);
    expect(find(allReduce(tensor))).toBeNull();
    const made = plan(allReduce(tensor));
    expect(find(allReduce(tensor))).toBe(made);
    expect(find(allReduce(tensor), { ...CALL, sequence: 2 })).toBe(made);
  });

  it("finds none for another tensor, collective, operation, root or algorithm", async () => {
    const { plan, find } = await plans();
    const tensor = new Float32Array(8);
    plan(allReduce(tensor));
    plan({ collective: "broadcast", tensor: viewOf(tensor), root: 0 });
    expect(find(allReduce(new Float32Array(8)))).toBeNull();
    expect(find(allReduce(tensor.subarray(0)))).toBeNull();
    expect(find({ ...allReduce(tensor), op: ReduceOp.MAX })).toBeNull();
    expect(find({ collective: "reduce", tensor: viewOf(tensor), root: 0, op: ReduceOp.SUM })).toBeNull();
    expect(find({ collective: "broadcast", tensor: viewOf(tensor), root: 1 })).toBeNull();
    expect(find(allReduce(tensor), { ...CALL, algorithm: "ring" })).toBeNull();
    expect(find({ collective: "broadcast", tensor: viewOf(tensor), root: 0 })).not.toBeNull();
  });

  it("notices that a named tensor has another array, place, length or dtype", async () => {
    const { plan, find } = await plans();
    const buffer = new ArrayBuffer(64);
    const tensor: { data: Float32Array | Int32Array; dtype: "f32" | "i32" } = {
      data: new Float32Array(buffer, 0, 8),
      dtype: "f32",
    };
    const made = plan(allReduce(tensor));
    const changes = [
      { data: new Float32Array(8) },
      { data: new Float32Array(buffer, 4, 8) },
      { data: new Float32Array(buffer, 0, 7) },
      { data: new Int32Array(buffer, 0, 8), dtype: "i32" },
    ] as const;
    for (const change of changes) {
      Object.assign(tensor, change);
      expect(find(allReduce(tensor))).toBeNull();
      Object.assign(tensor, { data: new Float32Array(buffer, 0, 8), dtype: "f32" });
      expect(find(allReduce(tensor))).toBe(made);
    }
  });

  it("notices that a buffer was transferred, and that an output is another one", async () => {
    const { plan, find } = await plans();
    const tensor = new Float32Array(8);
    plan(allReduce(tensor));
    structuredClone(tensor.buffer, { transfer: [tensor.buffer] });
    expect(() => find(allReduce(tensor))).toThrow(/detached/);

    const [input, output] = [new Int32Array(4), new Int32Array(8)];
    const gathered = (into: Int32Array) =>
      ({ collective: "allGatherIntoTensor", input: viewOf(input), output: viewOf(into) }) as const;
    const made = plan(gathered(output));
    expect(find(gathered(output))).toBe(made);
    expect(find(gathered(new Int32Array(8)))).toBeNull();
  });

  it("keeps no plan of a list, which may hold something else by the next call", async () => {
    const { plan, find } = await plans();
    const request = {
      collective: "allGather",
      input: viewOf(new Int32Array(4)),
      outputs: [viewOf(new Int32Array(4)), viewOf(new Int32Array(4))],
    } as const;
    plan(request);
    expect(find(request)).toBeNull();
  });

  it("finds a barrier's", async () => {
    const { plan, find } = await plans();
    const made = plan({ collective: "barrier" });
    expect(find({ collective: "barrier" })).toBe(made);
  });
});
