/** accumulate: "f32": sums of short floats are added in f32 and rounded once, compared with a reference of its own. */
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { messageRows } from "../../src/algorithm/messages/rows.ts";
import type { MismatchError } from "../../src/errors.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { ReduceOp } from "../../src/reduce-op.ts";
import { decodeSmallFloat, encodeSmallFloat, gpuMemory } from "../../src/testing/index.ts";
import type { HostArray, HostTensor, Tensor } from "../../src/types.ts";
import { webccl } from "../cli/command.ts";
import { TEST_TRANSPORTS, withGroup, withMemoryGroups } from "../conformance/harness.ts";
import { defaultDevice } from "../helpers/gpu.ts";

const SHORT = ["f16", "bf16", "f8e4m3", "f8e5m2"] as const;
type Short = (typeof SHORT)[number];
type Op = "sum" | "avg" | "premul-sum";

const arrayOf = (dtype: Short, count: number) =>
  dtype.startsWith("f8") ? new Uint8Array(count) : new Uint16Array(count);
const opOf = (op: Op, rank: number) => (op === "premul-sum" ? ReduceOp.premulSum([0.3, -1.7, 2, 1 / 3, 5][rank]!) : op);

/** Elements whose sums round at most steps: of a few magnitudes, some of them zero, infinite or NaN. */
function inputOf(dtype: Short, count: number, seed: number, rank: number): HostTensor {
  const data = arrayOf(dtype, count);
  let state = (seed * 5 + rank + 1) >>> 0;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const value = ((state >>> 8) / 2 ** 23 - 1) * 2 ** ((state >>> 3) % 6);
    data[i] = encodeSmallFloat(dtype, state % 97 === 0 ? Number.POSITIVE_INFINITY : state % 89 === 0 ? 0 : value);
  }
  return { data, dtype };
}

/** The left fold in f32 of elements `start` on, rounded once. */
function expected(dtype: Short, op: Op, inputs: readonly HostTensor[], start: number, count: number): HostArray {
  const result = arrayOf(dtype, count);
  const { length } = inputs;
  for (let i = 0; i < count; i++) {
    const values = inputs.map(({ data }, rank) => {
      const value = decodeSmallFloat(dtype, Number(data[start + i]));
      if (op === "sum") return value;
      const factor =
        op === "avg" ? Math.fround(1 / length) : Math.fround((opOf(op, rank) as { factor: number }).factor);
      return Math.fround(value * factor);
    });
    result[i] = encodeSmallFloat(
      dtype,
      values.reduce((sum, value) => Math.fround(sum + value)),
    );
  }
  return result;
}

const accumulate = "f32";
/** Those of allReduce over messages. */
const ALGORITHMS = [...new Set(messageRows.allReduce.map(({ algorithm }) => algorithm))];
const bitsOf = (tensor: Tensor) => [...((tensor as HostTensor).data as Uint16Array)];

/** Every collective that reduces, on this rank; what each result must be. */
async function everyCollective(group: ProcessGroup, dtype: Short, op: Op, count: number, seed: number): Promise<void> {
  const { rank, size } = group;
  const inputs = Array.from({ length: size }, (_, peer) => inputOf(dtype, count * size, seed, peer));
  const own = () => ({ dtype, data: inputs[rank]!.data.slice() });
  const part = (start: number, length: number) => ({ dtype, data: inputs[rank]!.data.slice(start, start + length) });
  const options = { op: opOf(op, rank), accumulate } as const;
  const whole = expected(dtype, op, inputs, 0, count * size);
  const mine = [...(whole.subarray(rank * count, (rank + 1) * count) as Uint16Array)];
  const check = (tensor: Tensor, bits: readonly number[], what: string) =>
    expect(bitsOf(tensor), `${what} of ${count} ${dtype}, ${op}, rank ${rank} of ${size}`).toEqual(bits);
  const all = [...(whole as Uint16Array)];

  const reduced = own();
  await group.allReduce(reduced, options);
  check(reduced, all, "allReduce");
  const rooted = own();
  await group.reduce(rooted, { ...options, root: size - 1 });
  check(rooted, rank === size - 1 ? all : bitsOf(own()), "reduce");
  const output = { dtype, data: arrayOf(dtype, count) };
  await group.reduceScatterTensor(output, own(), options);
  check(output, mine, "reduceScatterTensor");
  const list = Array.from({ length: size }, (_, peer) => part(peer * count, count));
  await group.reduceScatter(list[rank]!, list, options);
  check(list[rank]!, mine, "reduceScatter in place");
  const f32 = Float32Array.of(rank, 0.5);
  const coalesced = [part(0, count), f32, part(count, count * size - count)];
  await group.allReduceCoalesced(coalesced, options);
  check(coalesced[0]!, all.slice(0, count), "allReduceCoalesced");
  check(coalesced[2]!, all.slice(count), "allReduceCoalesced");
  const fused = [own(), own()];
  await group.coalesce(() => {
    for (const tensor of fused) group.allReduce(tensor, options);
  });
  check(fused[1]!, all, "coalesce");
  const call = group.persistent.allReduce(fused[0]!, { ...options, op: op === "premul-sum" ? options.op : op });
  for (let start = 0; start < 2; start++) {
    (fused[0]!.data as Uint16Array).set(inputs[rank]!.data as Uint16Array);
    await call.start();
    check(fused[0]!, all, "persistent");
  }
  if (op === "avg") return;
  const scanned = own();
  await group.scan(scanned, options);
  check(scanned, [...(expected(dtype, op, inputs.slice(0, rank + 1), 0, count * size) as Uint16Array)], "scan");
  const before = own();
  await group.exscan(before, options);
  const prefix = rank === 0 ? own().data : expected(dtype, op, inputs.slice(0, rank), 0, count * size);
  check(before, [...(prefix as Uint16Array)], "exscan");
}

describe.each([...TEST_TRANSPORTS])('accumulate: "f32" over %s', (transport) => {
  it("adds in f32 and rounds once, for every dtype, operation and collective", { timeout: 60_000 }, async () => {
    const cases = fc.sample(
      fc.record({
        ...{ dtype: fc.constantFrom(...SHORT), op: fc.constantFrom<Op>("sum", "avg", "premul-sum") },
        ...{ count: fc.constantFrom(0, 1, 3, 64, 5_000), seed: fc.nat(1000) },
      }),
      { numRuns: 5, seed: 12 },
    );
    for (const size of [1, 2, 3, 4, 5]) {
      await withGroup(
        transport,
        size,
        async (group) => {
          for (const { dtype, op, count, seed } of cases) await everyCollective(group, dtype, op, count, seed);
        },
        { deterministic: true },
      );
    }
  });
});

describe('accumulate: "f32"', () => {
  it("is more exact than steps that round, with any algorithm", async () => {
    for (const algorithm of ALGORITHMS) {
      await withMemoryGroups(4, async (group) => {
        // 256 and three ones, which lie between 258 and 260.
        const tensor = { dtype: "bf16" as const, data: new Uint16Array(1000).fill(group.rank ? 0x3f80 : 0x4380) };
        await group.allReduce(tensor, { accumulate, algorithm });
        expect([tensor.data[0], tensor.data[999]], algorithm).toEqual([0x4382, 0x4382]);
      });
    }
    await withMemoryGroups(
      4,
      async (group) => {
        const tensor = { dtype: "bf16" as const, data: new Uint16Array(9).fill(group.rank ? 0x3f80 : 0x4380) };
        await group.allReduce(tensor);
        // A bf16 of 256 has no room for one more.
        expect(tensor.data[8]).toBe(0x4380);
      },
      { deterministic: true },
    );
  });

  it("gives the cpu's bits in GPUBuffers", { timeout: 60_000 }, async () => {
    const device = await defaultDevice();
    const memory = gpuMemory(device);
    for (const dtype of SHORT) {
      for (const op of ["sum", "avg"] as const) {
        await withMemoryGroups(
          2,
          async (group) => {
            const inputs = [0, 1].map((rank) => inputOf(dtype, 37, 4, rank));
            const { data } = inputs[group.rank]!;
            const start = memory.startOf(dtype);
            const region = new Uint8Array(256).fill(0xa5);
            region.set(new Uint8Array(data.buffer, 0, data.byteLength), start);
            const placement = memory.place(dtype, region, start, start + data.byteLength);
            await group.allReduce(placement.tensor, { op, accumulate });
            const [after] = await memory.collect([placement]);
            const sum = expected(dtype, op, inputs, 0, 37);
            region.set(new Uint8Array(sum.buffer, 0, sum.byteLength), start);
            expect([...after!], `${dtype} ${op}`).toEqual([...region]);
          },
          { backend: "auto", device },
        );
      }
    }
  });

  it("runs on threads, whose memory is one", { timeout: 60_000 }, async () => {
    const program = fileURLToPath(new URL("../cli/programs/accumulate.ts", import.meta.url));
    const { code, stdout, stderr } = await webccl(["run", "-n", "3", "--threads", program]);
    expect(stderr).toBe("");
    for (const rank of [0, 1, 2]) expect(stdout).toContain(`rank ${rank}: 0x4381 0x4381 0x4381`);
    expect(code).toBe(0);
  });

  it("is the same on every rank, or a MismatchError that says so", async () => {
    await withMemoryGroups(3, async (group) => {
      const tensor = { dtype: "f16" as const, data: new Uint16Array(4) };
      const work = group.allReduce(tensor, group.rank === 1 ? { accumulate } : {});
      const error = await work.then(
        () => null,
        (reason) => reason as MismatchError,
      );
      expect(error).toMatchObject({ code: "MISMATCH", details: { field: "accumulate" } });
      expect(error?.message).toContain("accumulate f32");
      const other = { dtype: group.rank === 2 ? ("bf16" as const) : ("f16" as const), data: new Uint16Array(4) };
      const differs = await group.allReduce(other, { accumulate }).catch((reason) => reason);
      expect(differs).toMatchObject({ details: { field: "dtype" } });
      await group.barrier();
    });
  });

  it("changes nothing for f32, and is refused where it has no meaning", async () => {
    await withMemoryGroups(1, async (group) => {
      const refused: [Tensor, object, RegExp][] = [
        [new Int32Array(2), {}, /sum of i32: there is "f32" alone, for sums of floats up to f32/],
        [new Float64Array(2), {}, /sum of f64/],
        [{ dtype: "f16", data: new Uint16Array(2) }, { op: "max" }, /max of f16/],
        [Float32Array.of(1), { accumulate: "f64" }, /accumulate is "f64"/],
      ];
      for (const [tensor, options, says] of refused) {
        await expect(group.allReduce(tensor, { accumulate, ...options })).rejects.toThrow(says);
      }
      await group.allReduce(Float32Array.of(1), { accumulate });
    });
    await withMemoryGroups(2, async (group) => {
      await group.allReduce(Float32Array.of(1), group.rank ? { accumulate } : {});
    });
  });
});
