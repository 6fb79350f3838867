import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readBytes } from "../../src/ddp/host-copy.ts";
import { broadcastCoalesced, verifyParamsAcrossProcesses } from "../../src/ddp/index.ts";
import { MismatchError } from "../../src/errors.ts";
import type { GpuExecutor } from "../../src/executor/webgpu/create-executor.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";
import { gpuMemory } from "../../src/testing/gpu-memory.ts";
import { GUARD, hostMemory, type Placement } from "../../src/testing/memory.ts";
import { bytesPerElement, DATA_TYPES, type DataType } from "../../src/types.ts";
import { testExecutor } from "../helpers/gpu.ts";
import { expectToldRefusal, ranksOf } from "./ranks.ts";

let owner: GpuExecutor;

beforeAll(async () => {
  owner = await testExecutor();
});
afterAll(() => owner.dispose());

interface Spec {
  dtype: DataType;
  count: number;
  onGpu: boolean;
}

/** Tensors between guard bytes, filled with random bytes. */
function place(specs: readonly Spec[], random: SeededRandom): Placement[] {
  return specs.map(({ dtype, count, onGpu }) => {
    const memory = onGpu ? gpuMemory(owner.device) : hostMemory;
    const start = memory.startOf(dtype);
    const end = start + count * bytesPerElement(dtype);
    const region = new Uint8Array(Math.ceil((end + 16) / 8) * 8).fill(GUARD);
    for (let i = start; i < end; i++) region[i] = random.u32();
    return memory.place(dtype, region, start, end);
  });
}

/** Whole regions, guards included. */
async function collect(specs: readonly Spec[], placements: readonly Placement[]): Promise<Uint8Array[]> {
  const regions: Uint8Array[] = [];
  for (const [i, placement] of placements.entries()) {
    const memory = specs[i]!.onGpu ? gpuMemory(owner.device) : hostMemory;
    regions.push(...(await memory.collect([placement])));
  }
  return regions;
}

const specs = fc.array(fc.record({ dtype: fc.constantFrom(...DATA_TYPES), count: fc.nat(40), onGpu: fc.boolean() }), {
  maxLength: 12,
});

describe("broadcastCoalesced()", () => {
  it("gives root's tensors to all, of any dtypes and memories, and no byte beside them", async () => {
    const groups = await ranksOf(3, { device: owner.device });
    await fc.assert(
      fc.asyncProperty(
        specs,
        fc.nat(2),
        fc.constantFrom(1, 64, 300, 1 << 20),
        fc.nat(),
        async (list, root, bytes, seed) => {
          const random = new SeededRandom(seed);
          const ofRanks = groups.map(() => place(list, random));
          await Promise.all(
            groups.map((group, rank) =>
              broadcastCoalesced(
                group,
                ofRanks[rank]!.map(({ tensor }) => tensor),
                { root, bufferBytes: bytes },
              ),
            ),
          );
          const regions = await Promise.all(ofRanks.map((placements) => collect(list, placements)));
          for (const ofRank of regions) expect(ofRank).toEqual(regions[root]);
        },
      ),
      { numRuns: 25 },
    );
  });

  it("has at most two buckets in flight, and skips empty tensors", async () => {
    const groups = await ranksOf(2);
    const counts: number[] = [];
    for (const group of groups) {
      let pending = 0;
      const broadcast = group.broadcast.bind(group);
      group.broadcast = (...args) => {
        const work = broadcast(...args);
        counts.push(++pending);
        void work.finally(() => pending--);
        return work;
      };
    }
    const tensors = () => Array.from({ length: 9 }, (_, i) => new Float32Array(i % 3 === 0 ? 0 : 10));
    await Promise.all(groups.map((group) => broadcastCoalesced(group, tensors(), { bufferBytes: 40 })));
    expect(counts).toHaveLength(2 * 6);
    expect(Math.max(...counts)).toBe(2);
  });

  it("makes few large messages of many tensors", async () => {
    const groups = await ranksOf(2);
    const tensors = () => Array.from({ length: 50 }, () => new Float32Array(10));
    await Promise.all(groups.map((group) => broadcastCoalesced(group, tensors())));
    // The call that compares the layouts, and one broadcast.
    for (const { sequence } of groups) expect(sequence).toBe(2);
  });

  it("takes a part of a word of a GPUBuffer, and leaves its neighbour", async () => {
    const groups = await ranksOf(2, { device: owner.device });
    const { buffer } = owner.alloc("u8", 8);
    owner.device.queue.writeBuffer(buffer, 0, Uint8Array.of(9, 9, 9, 9, 9, 9, 9, 9));
    const part = { buffer, dtype: "u8", count: 5 } as const;
    await Promise.all([
      broadcastCoalesced(groups[0]!, [Uint8Array.of(1, 2, 3, 4, 5)]),
      broadcastCoalesced(groups[1]!, [part]),
    ]);
    expect([...(await readBytes(groups[1]!, { buffer, dtype: "u8", count: 8 }))]).toEqual([1, 2, 3, 4, 5, 9, 9, 9]);
  });

  it.each<[RegExp, unknown, unknown]>([
    [/tensors must be a list/, new Float32Array(1), {}],
    [/tensors\[1\]: an Array is not a tensor/, [new Float32Array(1), [1]], {}],
    [/root must be a rank of the group, 0 to 1, got 2/, [], { root: 2 }],
    [/bufferBytes must be a whole number from 1 on, got 0/, [], { bufferBytes: 0 }],
    [/unknown option src; did you mean root\?/, [], { src: 0 }],
  ])("says %s, and the group goes on", async (says, tensors, options) => {
    const groups = await ranksOf(2);
    for (const group of groups) {
      await expect(broadcastCoalesced(group, tensors as never, options as never)).rejects.toThrow(says);
    }
    await Promise.all(groups.map((group) => group.barrier()));
  });

  it("tells the other ranks where one refuses its arguments", () =>
    expectToldRefusal((group, isWrong) =>
      broadcastCoalesced(group, [new Float32Array(1)], { bufferBytes: isWrong ? 0 : 64 }),
    ));

  it("rejects when no bucket is under way any more", async () => {
    const [first, second] = (await ranksOf(2)) as [ProcessGroup, ProcessGroup];
    let isSettled = false;
    const call = (group: ProcessGroup) =>
      broadcastCoalesced(group, [new Float32Array(2), new Float32Array(8)], { bufferBytes: 8, root: 1 });
    // The first bucket of root has another count, and its second one comes late.
    const broadcast = second.broadcast.bind(second);
    let letGo = () => {};
    const isLet = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    let buckets = 0;
    second.broadcast = (tensor, options) => {
      if (buckets++ === 0) return broadcast(new Float32Array(3), options);
      return isLet.then(() => broadcast(tensor, options)) as ReturnType<typeof broadcast>;
    };
    const outcome = call(first);
    void outcome
      .catch(() => {})
      .then(() => {
        isSettled = true;
      });
    const other = call(second);
    other.catch(() => {});
    for (let turn = 0; turn < 40; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect([buckets, isSettled]).toEqual([2, false]);
    letGo();
    await expect(outcome).rejects.toBeInstanceOf(MismatchError);
    await expect(other).rejects.toBeInstanceOf(MismatchError);
  });

  it("rejects on all ranks where their tensors differ, and the group goes on", async () => {
    const groups = await ranksOf(2);
    const outcomes = await Promise.allSettled(
      groups.map((group) => broadcastCoalesced(group, [new Float32Array(2 + group.rank)])),
    );
    for (const outcome of outcomes) {
      expect(outcome.status === "rejected" && outcome.reason).toBeInstanceOf(MismatchError);
    }
    await Promise.all(groups.map((group) => group.barrier()));
  });
});

describe("verifyParamsAcrossProcesses()", () => {
  const parameter = (count: number, shape: number[], name?: string) => ({
    tensor: new Float32Array(count),
    shape,
    ...(name === undefined ? {} : { name }),
  });
  type Parameters = ReturnType<typeof parameter>[];

  const verify = (groups: readonly ProcessGroup[], ofRank: (rank: number) => Parameters, log?: string[]) =>
    Promise.allSettled(
      groups.map((group) =>
        verifyParamsAcrossProcesses(group, ofRank(group.rank), log && { error: (text) => void log.push(text) }),
      ),
    );

  it("resolves where all are alike, on 1 to 5 ranks, without parameters too", async () => {
    for (const size of [1, 2, 5]) {
      const groups = await ranksOf(size);
      for (const list of [[], [parameter(6, [2, 3], "w"), parameter(1, [])]]) {
        for (const { status } of await verify(groups, () => list)) expect(status).toBe("fulfilled");
      }
    }
  });

  it.each<[RegExp, (rank: number) => Parameters]>([
    [
      /parameter 1 \("b"\) is f32 \[6\] on rank 0, and f32 \[2, 3\] on rank 2/,
      (rank) => [parameter(1, []), parameter(6, rank === 2 ? [2, 3] : [6], "b")],
    ],
    [
      /parameter 0 is f32 \[2\] on rank 0, and u32 \[2\] on rank 1/,
      (rank) => [{ ...parameter(2, [2]), tensor: (rank === 1 ? new Uint32Array(2) : new Float32Array(2)) as never }],
    ],
    [
      /rank 0 has 2 parameters, and rank 1 has 1/,
      (rank) => (rank === 1 ? [parameter(1, [1])] : [parameter(1, [1]), parameter(1, [1])]),
    ],
    [/rank 0 has 0 parameters, and rank 1 has 1/, (rank) => (rank === 0 ? [] : [parameter(1, [1])])],
  ])("says %s on every rank, tells the logger, and the group goes on", async (says, ofRank) => {
    const groups = await ranksOf(3);
    const log: string[] = [];
    for (const outcome of await verify(groups, ofRank, log)) {
      expect(outcome.status === "rejected" && outcome.reason).toBeInstanceOf(MismatchError);
      expect(outcome.status === "rejected" && outcome.reason.message).toMatch(says);
    }
    expect(log).toHaveLength(3);
    await Promise.all(groups.map((group) => group.barrier()));
  });

  it("tells the other ranks where one refuses its arguments", () =>
    expectToldRefusal((group, isWrong) => verifyParamsAcrossProcesses(group, [parameter(6, isWrong ? [2, 2] : [6])])));

  it("refuses a parameter whose shape does not fit, and the group goes on", async () => {
    const [group] = await ranksOf(1);
    await expect(verifyParamsAcrossProcesses(group!, [parameter(6, [2, 2])])).rejects.toThrow(
      /parameters\[0\]: the shape \[2, 2\] has 4 elements, not 6/,
    );
    for (const [wrong, says] of [
      [null, /parameters\[0\] must be \{ tensor, shape \}, got null/],
      [5, /parameters\[0\] must be \{ tensor, shape \}, got 5/],
      [{ ...parameter(6, [6]), name: 7 }, /parameters\[0\]: the name must be a string, got 7/],
    ] as const) {
      await expect(verifyParamsAcrossProcesses(group!, [wrong as never])).rejects.toThrow(says);
    }
    await group!.barrier();
  });
});
