import fc from "fast-check";
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
import { describe as viewOf } from "../../src/tensor/describe.ts";
import type { Tensor } from "../../src/types.ts";

const CALL: Call = {
  sequence: 1,
  algorithm: undefined,
  deterministic: false,
  number: 1,
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
  return { plan, find: (request: CollectiveRequest, call = CALL) => repeated.find(request, call) };
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

  it("finds the plan of a list, until the list holds something else", async () => {
    const { plan, find } = await plans();
    const tensors = fc.array(fc.nat(3), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(tensors, tensors, (first, second) => {
        const pool = [0, 1, 2, 3].map((i) => new Int32Array(i + 1));
        const listOf = (indices: readonly number[]) => indices.map((index) => viewOf(pool[index]!));
        const request = (indices: readonly number[]) =>
          ({ collective: "allReduceCoalesced", tensors: listOf(indices), op: ReduceOp.SUM }) as const;
        const made = plan(request(first));
        expect(find(request(first))).toBe(made);
        expect(find(request(second))).toBe(`${first}` === `${second}` ? made : null);
      }),
    );
    const [whole, input] = [new Int32Array(4), new Int32Array(4)];
    const cut = (counts: number[]) =>
      ({
        ...({ collective: "allToAllSingle", output: viewOf(whole), input: viewOf(input) } as const),
        outputSplits: counts,
        inputSplits: counts,
      }) as const;
    const made = plan(cut([1, 3]));
    expect(find(cut([1, 3]))).toBe(made);
    expect(find(cut([2, 2]))).toBeNull();
  });

  it("finds the plan of a list that is given again without a look at its tensors", async () => {
    const { plan, find } = await plans();
    const tensors = Array.from({ length: 3 }, () => viewOf(new Int32Array(4)));
    const request = () => ({ collective: "allReduceCoalesced", tensors, op: ReduceOp.SUM }) as const;
    const made = plan(request());
    let looks = 0;
    const looked = () => {
      looks++;
      return undefined;
    };
    for (const index of [1, 2]) Object.defineProperty(tensors, index, { get: looked });
    expect(find(request())).toBe(made);
    expect(looks).toBe(0);
  });

  it("keeps no plan of a call on objects, nor of one that makes a group", async () => {
    const { plan, find } = await plans();
    const requests = [
      {
        ...({ collective: "allGatherObject", outgoing: [null, new Uint8Array(1)] } as const),
        ...{ sources: [1], received: [null, null], root: null },
      },
      { collective: "newGroup", ranks: [0, 1], name: "child" },
    ] as const;
    for (const request of requests) {
      plan(request as CollectiveRequest);
      expect(find(request as CollectiveRequest)).toBeNull();
    }
  });

  it("finds a barrier's", async () => {
    const { plan, find } = await plans();
    const made = plan({ collective: "barrier" });
    expect(find({ collective: "barrier" })).toBe(made);
  });
});
