import { beforeAll, describe, expect, it } from "vitest";
import { readBytes } from "../../src/ddp/host-copy.ts";
import { MismatchError, UnsupportedError } from "../../src/errors.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import * as nn from "../../src/nn/index.ts";
import type { ReduceOptions } from "../../src/options.ts";
import { ReduceOp } from "../../src/reduce-op.ts";
import type { GpuTensor, ShapedTensor, Tensor } from "../../src/types.ts";
import { withMemoryGroups } from "../conformance/harness.ts";
import { defaultDevice } from "../helpers/gpu.ts";

const f32 = (...values: number[]) => Float32Array.from(values);
const inf = Number.POSITIVE_INFINITY;

describe("nn.allReduce()", () => {
  it("gives MIN's and MAX's gradient to the lowest rank with the result's bits, and zeros elsewhere, even of infinities", async () => {
    const inputs = [f32(1, -0, Number.NaN, 5), f32(1, 0, 3, 7), f32(0, 0, Number.NaN, 7)];
    const results = await withMemoryGroups(3, async (group, rank) => {
      const [y, pullback] = await nn.allReduce(group, inputs[rank] as Float32Array, { op: "max" });
      return [y, await pullback(f32(inf, 1, 2, 3))];
    });
    expect(results.map(([y]) => y)).toEqual([
      f32(1, 0, Number.NaN, 7),
      f32(1, 0, Number.NaN, 7),
      f32(1, 0, Number.NaN, 7),
    ]);
    expect(results.map(([, gx]) => gx)).toEqual([f32(inf, 0, 6, 0), f32(0, 3, 0, 9), f32(0, 0, 0, 0)]);
  });

  it("gives PRODUCT's gradient without a division: right where factors are zero", async () => {
    const inputs = [f32(0, 0, 2), f32(3, 0, 5), f32(4, 6, 7)];
    const results = await withMemoryGroups(3, async (group, rank) => {
      const [, pullback] = await nn.allReduce(group, inputs[rank] as Float32Array, { op: ReduceOp.PRODUCT });
      return pullback(f32(1, 1, rank === 0 ? 1 : 0));
    });
    expect(results).toEqual([f32(36, 0, 35), f32(0, 0, 14), f32(0, 0, 10)]);
  });

  it("needs nothing of the caller's tensors after the call", async () => {
    const results = await withMemoryGroups(2, async (group, rank) => {
      const x = f32(2 + rank, 3);
      const gy = f32(1, 1);
      const [y, pullback] = await nn.allReduce(group, x, { op: "product" });
      (y as Float32Array).fill(100);
      x.fill(100);
      const [gx, second] = await pullback.withPullback(gy);
      gy.fill(100);
      (gx as Float32Array).fill(100);
      return [await pullback(f32(1, 1)), await second(f32(1, 0))];
    });
    // gx = [x of the other rank] * Σ gy, and Σ gy = 2.
    expect(results[0]).toEqual([f32(6, 6), [f32(3 + 2, 0), f32(2, 0)]]);
    expect(results[1]).toEqual([f32(4, 6), [f32(3 + 2, 0), f32(2, 0)]]);
  });

  it("takes its options at the call, whatever the caller does to its object afterwards", async () => {
    await withMemoryGroups(2, async (group) => {
      const options: ReduceOptions = { op: "sum", signal: new AbortController().signal, timeoutMs: 10_000 };
      const before = nn.allReduce(group, f32(1));
      const call = nn.allReduce(group, f32(1), options);
      Object.assign(options, { op: "max", signal: AbortSignal.abort(), timeoutMs: -1, algorithm: "none" });
      const [y, pullback] = await call;
      expect([y, await pullback(f32(1))]).toEqual([f32(2), f32(2)]);
      await before;
    });
  });

  it("keeps the collectives of calls that nobody awaits apart", async () => {
    const results = await withMemoryGroups(3, async (group, rank) => {
      const calls = Array.from({ length: 6 }, (_, i) =>
        nn.allReduce(group, f32(i === rank ? 9 : i), { op: i % 2 === 0 ? "max" : "product" }),
      );
      const done = await Promise.all(calls);
      const gradients = await Promise.all(done.map(([, pullback], i) => pullback(f32(i + 1))));
      return { y: done.map(([y]) => (y as Float32Array)[0]), gx: gradients.map((gx) => (gx as Float32Array)[0]) };
    });
    expect(results.map(({ y }) => y)).toEqual(Array(3).fill([9, 9, 9, 27, 4, 125]));
    expect(results.map(({ gx }) => gx[0])).toEqual([3, 0, 0]);
    expect(results.map(({ gx }) => gx[2])).toEqual([0, 0, 9]);
    expect(results.map(({ gx }) => gx[1])).toEqual([9 * 6, 6, 9 * 6]);
  });
});

describe("nn.allGatherBase()", () => {
  const shaped = (count: number, shape: number[]): ShapedTensor => ({ tensor: new Float32Array(count).fill(1), shape });

  it("gives and takes shapes", async () => {
    const [first] = await withMemoryGroups(2, async (group) => {
      const [y, pullback] = await nn.allGatherBase(group, shaped(6, [3, 2]));
      return { y, gx: await pullback(shaped(12, [6, 2])), ofBare: await pullback(f32(...Array(12).keys()) as never) };
    });
    expect(first?.y).toEqual(shaped(12, [6, 2]));
    expect(first?.gx).toEqual({ tensor: f32(2, 2, 2, 2, 2, 2), shape: [3, 2] });
    expect(first?.ofBare.tensor).toEqual(f32(0, 2, 4, 6, 8, 10));
  });

  it("refuses a shape that is none, and takes its numbers at the call", async () => {
    await withMemoryGroups(2, async (group) => {
      const [, pullback] = await nn.allGatherBase(group, shaped(4, [2, 2]));
      const holes: number[] = [2];
      holes[2] = 2;
      for (const shape of [[-2, -2], [0.5, 8], [4, "1"], [Number.NaN], holes, "4", undefined, null, { 0: 4 }]) {
        const says = /the shape must be a list of whole numbers, got/;
        const x = shaped(4, shape as number[]);
        await expect(nn.allGatherBase(group, x)).rejects.toThrow(says);
        await expect(nn.reduceScatterBase(group, x)).rejects.toThrow(says);
        await expect(pullback(shaped(8, shape as number[]))).rejects.toThrow(says);
      }
      const x = shaped(4, [2, 2]);
      await group.barrier();
      const calls = [nn.allGatherBase(group, x), nn.reduceScatterBase(group, x)];
      (x.shape as number[]).length = 0;
      const shapes = (await Promise.all(calls)).map(([y]) => (y as ShapedTensor).shape);
      expect(shapes).toEqual([
        [4, 2],
        [1, 2],
      ]);
    });
  });

  it("refuses a gradient that the ranks cannot share, in PyTorch's words", async () => {
    await withMemoryGroups(2, async (group) => {
      const [, pullback] = await nn.allGatherBase(group, shaped(6, [3, 2]));
      const text = "Tensor with dimensions: [5, 2] does not have first dimension divisible by world_size: 2";
      await expect(pullback(shaped(10, [5, 2]))).rejects.toThrow(new RangeError(text));
      await expect(pullback(shaped(12, [12, 2]))).rejects.toThrow(/has 12 elements, and its shape \[12, 2\] has 24/);
      await expect(nn.reduceScatterBase(group, shaped(10, [5, 2]))).rejects.toThrow(text);
      await expect(nn.reduceScatterBase(group, f32(1, 2, 3))).rejects.toThrow(/dimensions: \[3\]/);
      await group.barrier();
    });
  });
});

describe("errors", () => {
  const custom = ReduceOp.custom({ name: "first", wgsl: "a", js: (a: number) => a, identity: 0, commutative: false });
  const calls: [string, (group: ProcessGroup) => Promise<unknown>, RegExp][] = [
    ["a custom op", (group) => nn.allReduce(group, f32(1), { op: custom }), /nn.allReduce: op custom has no gradient/],
    ["a bitwise op", (group) => nn.reduce(group, f32(1), { op: "band" }), /band is for integers/],
    [
      "an unknown op",
      (group) => nn.reduceScatter(group, [f32(1), f32(1)], { op: "mean" as "avg" }),
      /unknown reduce op/,
    ],
    ["integers", (group) => nn.broadcast(group, new Int32Array(2)), /x is i32, and integers have no gradient/],
    ["integers in a list", (group) => nn.allToAll(group, [new Uint8Array(1), new Uint8Array(1)]), /x\[0\] is u8/],
    ["no tensor", (group) => nn.gather(group, [1] as unknown as Tensor), /nn.gather: x: an Array is not a tensor/],
    ["too short a list", (group) => nn.reduceScatter(group, [f32(1)]), /has 1 tensors, and the group has 2 ranks/],
    ["two dtypes", (group) => nn.allToAll(group, [f32(1), new Float64Array(1)]), /x\[1\] is f64/],
    ["no list", (group) => nn.reduceScatter(group, f32(1) as unknown as Tensor[]), /must be a list of 2 tensors/],
    ["no such root", (group) => nn.scatter(group, null, { root: 2 }), /root is 2, and the group has ranks 0 to 1/],
    ["splits", (group) => nn.allGather(group, f32(1), { outputSplits: [1] }), /outputSplits must have 2 entries/],
    ["a split", (group) => nn.gather(group, f32(1), { outputSplits: [1, 0.5] }), /outputSplits holds 0.5/],
    ["odd shares", (group) => nn.allToAllSingle(group, f32(1, 2, 3)), /cannot share equally/],
    ["CUDA memory", (group) => nn.allReduce(group, { cuda: deviceBuffer, dtype: "f32" }), /CudaTensor/],
  ];
  const deviceBuffer = {
    ...{ byteLength: 8, device: 0, disposed: false },
    ...{ copyFrom: async () => {}, copyTo: async () => {}, dispose() {} },
  };

  it.each(calls)("names %s, and the group goes on", async (_, call, says) => {
    const sums = await withMemoryGroups(2, async (group, rank) => {
      await expect(call(group)).rejects.toThrow(says);
      const [y] = await nn.allReduce(group, f32(rank + 1));
      return y;
    });
    expect(sums).toEqual([f32(3), f32(3)]);
  });

  it("refuses what scatter's ranks have to pass", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const [call, says] =
        rank === 0
          ? ([() => nn.scatter(group, [f32(1), f32(1, 2)]), /tensors of 1 and of 2 elements/] as const)
          : ([() => nn.scatter(group, null), /a rank that is not root passes \{ like \}/] as const);
      await expect(call()).rejects.toThrow(says);
      if (rank === 1)
        await expect(nn.scatter(group, [f32(1)], { like: f32(1) })).rejects.toThrow(/x is for root alone/);
      else await expect(nn.scatter(group, null)).rejects.toThrow(/must be a list of 2 tensors.*got null/);
      await group.barrier();
    });
  });

  it("refuses a gradient that does not fit", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const [, pullback] = await nn.allGather(group, f32(1));
      const wrong: [unknown, RegExp][] = [
        [f32(1), /the pullback of nn.allGather: the gradient must be a list of 2/],
        [[f32(1)], /is a list of 1, and 2 are needed/],
        [[f32(1), f32(1, 2)], /gradient\[1\] has 2 elements, and the tensor whose gradient it is has 1/],
        [[f32(1), new Float64Array(1)], /gradient\[1\] is f64, and the tensor whose gradient it is, is f32/],
        [[f32(1), null], /gradient\[1\]: the tensor is null/],
      ];
      for (const [gy, says] of wrong) await expect(pullback(gy as Tensor[])).rejects.toThrow(says);
      const [, ofScatter] = await nn.scatter(group, rank === 0 ? [f32(1), f32(2)] : null, { like: f32(0) });
      const [gx, second] = await ofScatter.withPullback(f32(5));
      expect(gx).toEqual(rank === 0 ? [f32(5), f32(5)] : null);
      const says = rank === 0 ? /must be a list of 2/ : /gradient must be null/;
      await expect(second(f32(1) as never)).rejects.toThrow(says);
      pullback.free();
      await expect(pullback([f32(1), f32(1)])).rejects.toThrow(/nn.allGather was freed/);
      await group.barrier();
    });
  });

  it("gives the other ranks a MismatchError, and no wrong value, where one rank's call or pullback was refused", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const [, pullback] = await nn.allReduce(group, f32(1));
      const refusals = [
        () => nn.allReduce(group, rank === 0 ? new Int32Array(1) : f32(1)),
        () => pullback(rank === 0 ? f32(1, 2) : f32(1)),
      ];
      for (const call of refusals) {
        if (rank === 0) await expect(call()).rejects.toThrow(/integers have no gradient|has 2 elements/);
        // Rank 0 goes on to a call that looks like the one that rank 1 makes.
        const looksAlike = rank === 0 ? nn.allReduce(group, f32(7)) : call();
        await expect(looksAlike).rejects.toBeInstanceOf(MismatchError);
      }
      const [y] = await nn.allReduce(group, f32(1));
      expect(y).toEqual(f32(2));
    });
  });
});

describe("GPU memory", () => {
  let device: GPUDevice;
  beforeAll(async () => {
    device = await defaultDevice();
  });

  it("is there for the calls that were made before free()", async () => {
    const place = (value: number): GpuTensor => {
      const buffer = device.createBuffer({ size: 4, usage: 0x8c });
      device.queue.writeBuffer(buffer, 0, f32(value));
      return { buffer, dtype: "f32" };
    };
    await withMemoryGroups(
      2,
      async (group, rank) => {
        const [, pullback] = await nn.allReduce(group, place(rank + 2), { op: "product" });
        const running = pullback(place(5));
        pullback.free();
        await expect(pullback(place(5))).rejects.toThrow(/was freed/);
        // The gradients of all ranks' outputs, 5 each, times the other rank's value.
        const gx = new Float32Array((await readBytes(group, await running)).buffer);
        expect(gx).toEqual(f32(10 * (3 - rank)));
      },
      { device, backend: "webgpu" },
    );
  });

  const tensorOf = (count: number): GpuTensor => ({
    buffer: device.createBuffer({ size: count * 4, usage: 0x8c }),
    dtype: "f32",
  });

  it("holds nothing after free(), and a pullback leaves its result alone", async () => {
    const live = new Set<GPUBuffer>();
    const { createBuffer } = device;
    device.createBuffer = (descriptor) => {
      const buffer = createBuffer.call(device, descriptor);
      const destroy = buffer.destroy.bind(buffer);
      live.add(buffer);
      buffer.destroy = () => {
        live.delete(buffer);
        return destroy();
      };
      return buffer;
    };
    try {
      await withMemoryGroups(
        2,
        async (group) => {
          for (const op of ["sum", "max", "product"] as const) {
            const own = [tensorOf(5), tensorOf(5)] as const;
            const [y, pullback] = await nn.allReduce(group, own[0], { op });
            const gx = await pullback(own[1]);
            const [gx2, second] = await pullback.withPullback(own[1]);
            const both = await second(own[0]);
            second.free();
            pullback.free();
            for (const tensor of [...own, y, gx, gx2, ...both]) {
              expect(live.has((tensor as GpuTensor).buffer), op).toBe(true);
              (tensor as GpuTensor).buffer.destroy();
            }
          }
        },
        { device, backend: "webgpu" },
      );
    } finally {
      device.createBuffer = createBuffer;
    }
    expect([...live].map(({ size }) => size)).toEqual([]);
  });

  it("refuses f64 on the GPU, a gradient in other memory, and a GPUBuffer without a device", async () => {
    const long: GpuTensor = { buffer: device.createBuffer({ size: 16, usage: 0x8c }), dtype: "f64" };
    await withMemoryGroups(
      2,
      async (group) => {
        await expect(nn.allReduce(group, long)).rejects.toThrow(UnsupportedError);
        await expect(nn.allReduce(group, long)).rejects.toThrow(/x is f64 in a GPUBuffer.*Float64Array/);
        const [, pullback] = await nn.allReduce(group, tensorOf(1));
        await expect(pullback(f32(1))).rejects.toThrow(/lies in host memory.*in gpu memory/);
        await group.barrier();
      },
      { device, backend: "webgpu" },
    );
    await withMemoryGroups(2, async (group) => {
      await expect(nn.broadcast(group, tensorOf(1))).rejects.toThrow(/group has no GPUDevice/);
      await group.barrier();
    });
  });
});
