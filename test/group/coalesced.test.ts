/** Coalesced calls: many tensors as one call, which gives what the single calls give. */
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { MismatchError } from "../../src/errors.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import type { WorkInfo } from "../../src/group/work.ts";
import { ReduceOp } from "../../src/reduce-op.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";
import { DATA_TYPES, type DataType, type HostArray, type Tensor } from "../../src/types.ts";
import { TEST_TRANSPORTS, withGroup, withMemoryGroups } from "../conformance/harness.ts";

const random = new SeededRandom(21, "coalesced");
const oneOf = <T>(...values: readonly T[]): T => values[random.u32() % values.length] as T;

interface Item {
  dtype: DataType;
  count: number;
}
const LISTS: { size: number; items: Item[] }[] = [
  { size: 2, items: [] },
  { size: 3, items: [{ dtype: "f32", count: 5 }] },
  { size: 2, items: Array.from({ length: 100 }, () => ({ dtype: "f32" as const, count: 16 })) },
  { size: 3, items: Array.from({ length: 3 }, () => ({ dtype: "u8" as const, count: 7_000_001 })) },
  ...Array.from({ length: 12 }, () => {
    const dtypes: readonly DataType[] = oneOf<readonly DataType[]>(["f32"], DATA_TYPES, ["u8", "i16"]);
    const items = Array.from({ length: 1 + (random.u32() % 20) }, () => ({
      dtype: oneOf(...dtypes),
      count: oneOf(0, 1, 3, 5, 16, 1000, 40_001),
    }));
    return { size: oneOf(2, 3, 4), items };
  }),
];

const nameOf = ({ size, items }: (typeof LISTS)[number]) => {
  const dtypes = [...new Set(items.map(({ dtype }) => dtype))].join(" ");
  return `${size} ranks, ${items.length} tensors of ${dtypes || "nothing"}, ${items.reduce((sum, { count }) => sum + count, 0)} elements`;
};

const dataOf = (tensor: Tensor): HostArray => ("data" in tensor ? tensor.data : tensor) as HostArray;

/** Elements that every dtype holds, and whose sums it holds: 0 and 1 by rank, tensor and index. As bits, f16's and bf16's are 0. */
function filled(group: ProcessGroup, { dtype, count }: Item, item: number, rank = group.rank): Tensor {
  const tensor = group.alloc(dtype, count);
  const data = dataOf(tensor) as Float64Array;
  if ("data" in tensor) return tensor;
  const one = dtype === "i64" || dtype === "u64" ? 1n : 1;
  const zero = dtype === "i64" || dtype === "u64" ? 0n : 0;
  for (let i = 0; i < Math.min(3, count); i++) data[i] = ((rank + item + i) % 3 === 0 ? one : zero) as number;
  for (let done = 3; done < count; done *= 2) data.copyWithin(done, 0, Math.min(done, count - done));
  return tensor;
}

/** What tensors hold, to be compared as bytes: a matcher would take seconds for millions of elements. */
const copies = (tensors: readonly Tensor[]) =>
  tensors.map((tensor) => {
    const { buffer, byteOffset, byteLength } = dataOf(tensor);
    return createHash("sha256")
      .update(new Uint8Array(buffer, byteOffset, byteLength))
      .digest("hex");
  });

describe.each([...TEST_TRANSPORTS])("coalesced calls over %s", (transport) => {
  it.each(LISTS.map((list) => [nameOf(list), list] as const))(
    "give what the single calls give: %s",
    async (_, { size, items }) => {
      await withGroup(transport, size, async (group) => {
        // allReduce, in place.
        const single = items.map((item, i) => filled(group, item, i));
        for (const tensor of single) await group.allReduce(tensor);
        const together = items.map((item, i) => filled(group, item, i));
        await group.allReduceCoalesced(together);
        expect(copies(together)).toEqual(copies(single));
        const batch = items.map((item, i) => filled(group, item, i));
        await group.coalesce(() => {
          for (const tensor of batch) group.allReduce(tensor);
        });
        expect(copies(batch)).toEqual(copies(single));

        // allGather into one tensor each.
        const few = items.map((item) => ({ ...item, count: Math.min(item.count, 4000) }));
        const inputs = few.map((item, i) => filled(group, item, i));
        const wide = () => few.map(({ dtype, count }) => group.alloc(dtype, count * size));
        const [gathered, expected] = [wide(), wide()];
        await group.allGatherIntoTensorCoalesced(gathered, inputs);
        for (const [i, output] of expected.entries()) await group.allGatherIntoTensor(output, inputs[i]!);
        expect(copies(gathered)).toEqual(copies(expected));

        // reduceScatter from one tensor each.
        const sources = few.map(({ dtype, count }, i) => filled(group, { dtype, count: count * size }, i));
        const narrow = () => few.map(({ dtype, count }) => group.alloc(dtype, count));
        const [scattered, alone] = [narrow(), narrow()];
        await group.reduceScatterTensorCoalesced(scattered, sources);
        for (const [i, output] of alone.entries()) await group.reduceScatterTensor(output, sources[i]!);
        expect(copies(scattered)).toEqual(copies(alone));
      });
    },
  );

  it.each(
    LISTS.filter(({ items }) => items.every(({ count }) => count < 1_000_000)).map(
      (list) => [nameOf(list), list] as const,
    ),
  )("of all tensors, reduced and broadcast, give what the single calls give: %s", async (_, { size, items }) => {
    await withGroup(transport, size, async (group) => {
      const single = items.map((item, i) => filled(group, item, i));
      for (const tensor of single) await group.allReduce(tensor);
      const all = items.map((item, i) => filled(group, item, i));
      await group.allReduceAll(all);
      expect(copies(all)).toEqual(copies(single));

      // broadcast, in place.
      const root = size - 1;
      const rooted = items.map((item, i) => filled(group, item, i, root));
      const received = items.map((item, i) => filled(group, item, i));
      await group.broadcastAll(received, { root });
      expect(copies(received)).toEqual(copies(rooted));
      const inBatch = items.map((item, i) => filled(group, item, i));
      await group.coalesce(() => {
        for (const tensor of inBatch) group.broadcast(tensor, { root });
      });
      expect(copies(inBatch)).toEqual(copies(rooted));
    });
  });

  it("never let messages of a batch wait for each other", async () => {
    await withGroup(transport, 3, async (group, rank) => {
      const next = (rank + 1) % 3;
      const before = (rank + 2) % 3;
      // Longer than what is sent unasked; every rank sends before it receives.
      const [out, into] = [new Float32Array(5_000_000).fill(rank), new Float32Array(5_000_000)];
      const sum = Int32Array.of(rank);
      await group.coalesce(() => {
        group.send(out, next);
        group.allReduce(sum);
        group.recv(into, before);
      });
      expect([into[0], into.at(-1), sum[0]]).toEqual([before, before, 3]);
    });
  });

  it("differ where a dtype or a count of the list does", async () => {
    await withGroup(transport, 2, async (group, rank) => {
      for (const [a, b] of [
        [new Float32Array(3), new Int32Array(3)],
        [new Float32Array(3), new Float32Array(4)],
      ]) {
        const list = () => [new Float32Array(2), rank === 0 ? a! : b!];
        await expect(Promise.resolve(group.allReduceCoalesced(list()))).rejects.toThrow(MismatchError);
        await expect(Promise.resolve(group.allReduceAll(list()))).rejects.toThrow(MismatchError);
      }
      await group.barrier();
    });
  });
});

describe("allReduceAll() and broadcastAll()", () => {
  it("are one call of one number where all tensors lie in one memory, an empty list too", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const tensors = [Int32Array.of(1 + rank), Float64Array.of(2), new Uint8Array(0)];
      await group.allReduceAll(tensors, { op: "max" });
      expect([group.sequence, tensors[0]![0]]).toEqual([1, 2]);
      await group.broadcastAll([Int32Array.of(rank), BigInt64Array.of(3n)], { root: 1 });
      await group.allReduceAll([]);
      await group.broadcastAll([]);
      expect(group.sequence).toBe(4);
      // More than one message holds.
      const long = Array.from({ length: 3 }, () => new Uint8Array(7_000_001).fill(rank + 1));
      await group.broadcastAll(long, { root: 1 });
      expect(long.map((tensor) => [tensor[0], tensor.at(-1), tensor.indexOf(1)])).toEqual(long.map(() => [2, 2, -1]));
      const premul = [Float32Array.of(3), Float32Array.of(5, 7)];
      await group.allReduceAll(premul, { op: ReduceOp.premulSum(rank + 1) });
      expect(premul.map((tensor) => [...tensor])).toEqual([[9], [15, 21]]);
    });
  });

  it("tell ranks apart whose lists, roots or calls differ, and the group goes on", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const [one, two] = [() => [Int32Array.of(1)], () => [Int32Array.of(1), Int32Array.of(2)]];
      for (const call of [
        () => (rank === 0 ? group.allReduceAll(one()) : group.allReduceAll([])),
        () => group.broadcastAll(rank === 0 ? one() : two()),
        () => group.broadcastAll(two(), { root: rank }),
        () => (rank === 0 ? group.broadcastAll(two()) : group.allReduceAll(two())),
      ]) {
        await expect(Promise.resolve(call())).rejects.toThrow(MismatchError);
      }
      await group.barrier();
    });
  });

  it("name the tensor that is none, and the option that there is none of", async () => {
    await withMemoryGroups(1, async (group) => {
      const errorOf = (work: PromiseLike<void>) => Promise.resolve(work).then(() => null, String);
      const wrong = [Int32Array.of(1), [2]] as unknown as Tensor[];
      expect(await errorOf(group.allReduceAll(wrong))).toMatch(/^TypeError: .*tensors\[1\]: an Array is not a tensor/);
      expect(await errorOf(group.broadcastAll(wrong))).toMatch(/^TypeError: .*tensors\[1\]: an Array is not a tensor/);
      const noList = Int32Array.of(1) as unknown as Tensor[];
      expect(await errorOf(group.broadcastAll(noList))).toMatch(/^TypeError: .*tensors must be a list/);
      const options = { src: 0 } as object;
      expect(await errorOf(group.broadcastAll([], options))).toMatch(
        /broadcastAll: unknown option src; did you mean root/,
      );
      const twice = Int32Array.of(1);
      expect(await errorOf(group.allReduceAll([twice, twice]))).toMatch(/share memory/);
    });
  });
});

describe("a coalesced call", () => {
  it("is one call: one number, one WorkInfo, and nothing has happened if an argument is wrong", async () => {
    await withMemoryGroups(2, async (group) => {
      const infos: WorkInfo[] = [];
      group.onCompletion((info) => infos.push(info));
      const tensors = [Int32Array.of(1), Float64Array.of(2), Int32Array.of(3)];
      await group.allReduceCoalesced(tensors);
      expect(group.sequence).toBe(1);
      const work = group.coalesce(() => {
        for (const tensor of tensors) group.allReduce(tensor);
        group.barrier();
      });
      await work;
      expect(group.sequence).toBe(3);
      expect(infos.map(({ opType }) => opType)).toEqual(["ALLREDUCE_COALESCED", "COALESCED"]);
      expect(tensors.map((tensor) => tensor[0])).toEqual([4, 8, 12]);

      const wrong = [
        () => group.allReduceCoalesced([tensors[0]!, [1] as unknown as Tensor]),
        () => group.allReduceCoalesced([tensors[0]!, tensors[1]!.subarray(0), tensors[1]!]),
        () => group.allReduceCoalesced(tensors, { op: "band" }),
        () => group.allGatherIntoTensorCoalesced([new Int32Array(2)], []),
        () => group.allGatherIntoTensorCoalesced([new Int32Array(2), new Int32Array(3)], [tensors[0]!, tensors[2]!]),
        () =>
          group.coalesce(() => {
            group.allReduce(tensors[1]!);
            group.allReduce(tensors[1]!);
          }),
        () =>
          group.coalesce(() => {
            group.coalesce(() => {
              group.allReduce(tensors[0]!);
            });
            group.broadcast(tensors[1]!, { root: 5 });
          }),
        () => group.reduceScatterTensorCoalesced(null as unknown as Tensor[], []),
        () =>
          group.coalesce(() => {
            group.allReduce(tensors[0]!);
            group.broadcast(tensors[1]!, { root: 5 });
          }),
        () =>
          group.coalesce(() => {
            group.allReduce(tensors[0]!);
            throw new TypeError("the function's own");
          }),
        () =>
          group.coalesce((async () => {
            group.allReduce(tensors[0]!);
          }) as () => void),
      ];
      for (const call of wrong) {
        const error = await Promise.resolve(call()).then(
          () => "no error",
          (reason) => reason,
        );
        expect(error).toSatisfy((one) => one instanceof TypeError || one instanceof RangeError);
      }
      // Every rank made the same mistakes.
      await group.barrier();
      expect(tensors.map((tensor) => tensor[0])).toEqual([4, 8, 12]);
      expect(group.sequence).toBe(4);
    });
  });

  it("gives each call its own value, and ends when all have", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      let source: PromiseLike<number> | undefined;
      let gathered: PromiseLike<unknown[]> | undefined;
      const into = new Int32Array(1);
      const work = group.coalesce(() => {
        source = group.recv(into, 1 - rank);
        group.send(Int32Array.of(rank + 5), 1 - rank);
        gathered = group.allGatherObject({ rank });
        group.coalesce(() => {
          group.barrier();
        });
      });
      await work;
      expect([await source, await gathered, into[0]]).toEqual([1 - rank, [{ rank: 0 }, { rank: 1 }], 6 - rank]);
    });
  });

  it("is one call on every rank, whatever time limits and signals each rank has", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const tensors = [Int32Array.of(1), Int32Array.of(2)];
      await group.coalesce(() => {
        group.allReduce(tensors[0]!, rank === 0 ? { signal: new AbortController().signal } : { timeoutMs: 0 });
        group.allReduce(tensors[1]!, rank === 0 ? { timeoutMs: 20_000 } : {});
      });
      expect([group.sequence, tensors[0]![0], tensors[1]![0]]).toEqual([1, 2, 4]);
    });
  });

  it("of messages alone that is refused is no call of the group", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      if (rank === 0) {
        const work = group.coalesce(() => {
          group.recv(new Int32Array(1), 7);
        });
        await expect(Promise.resolve(work)).rejects.toThrow(RangeError);
      }
      await group.barrier();
    });
  });

  it("is refused whole where two of its calls share memory that one of them writes, whichever calls they are", async () => {
    await withMemoryGroups(2, async (group) => {
      const [a, b] = [Float32Array.of(1, 2, 3, 4), Float32Array.of(5, 6)];
      const other = 1 - group.rank;
      const bodies: (() => void)[] = [
        () => [group.allReduce(a), group.allReduce(a, { op: "max" })],
        () => [group.allReduce(a.subarray(0, 2)), group.broadcast(a.subarray(1))],
        () => [group.send(a, other), group.recv(a.subarray(3), other)],
        () => [group.allGatherIntoTensor(a, b), group.allReduce(b)],
      ];
      for (const body of bodies) {
        const error = await group.coalesce(body).then(
          () => null,
          (reason: unknown) => reason,
        );
        expect(String(error)).toMatch(/^TypeError: \w+ 1 of the coalesce and \w+ 2 of the coalesce share memory/);
        expect([...a, ...b]).toEqual([1, 2, 3, 4, 5, 6]);
      }
      // Reading twice is no conflict.
      const outputs = [new Float32Array(4), new Float32Array(4)] as const;
      await group.coalesce(() => {
        for (const output of outputs) group.allGatherIntoTensor(output, b);
      });
      expect([...outputs[1]]).toEqual([5, 6, 5, 6]);
    });
  });

  it("is aborted as a whole", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      if (rank === 1) {
        await expect(Promise.resolve(group.allReduce(new Float32Array(3)))).rejects.toThrow(/abort/i);
        return;
      }
      const work = group.coalesce(() => {
        group.recv(new Float32Array(1), 1);
        group.barrier();
      });
      work.abort();
      await expect(Promise.resolve(work)).rejects.toThrow(/abort/i);
    });
  });
});
