import * as tf from "@tensorflow/tfjs";
import "@tensorflow/tfjs-backend-webgpu";
import { beforeAll, describe, expect, it } from "vitest";
import { initProcessGroup } from "../../../src/browser/index.ts";
import type { ProcessGroup } from "../../../src/group/process-group.ts";
import { averageGradients, broadcastVariables, distributed } from "../../../src/tfjs/index.ts";
import type { GpuTensor } from "../../../src/types.ts";

let device: GPUDevice;
/** GPUBuffers that were made and not destroyed. */
let liveBuffers = 0;

beforeAll(async () => {
  const { createBuffer } = GPUDevice.prototype;
  const { destroy } = GPUBuffer.prototype;
  const destroyed = new WeakSet<GPUBuffer>();
  GPUDevice.prototype.createBuffer = function (descriptor) {
    liveBuffers++;
    return createBuffer.call(this, descriptor);
  };
  GPUBuffer.prototype.destroy = function () {
    if (!destroyed.has(this)) liveBuffers--;
    destroyed.add(this);
    return destroy.call(this);
  };
  await tf.setBackend("webgpu");
  ({ device } = tf.backend() as unknown as { device: GPUDevice });
});

let jobs = 0;

/** What `program` resolves to on each of two ranks of this page, which share tf.js's device. */
async function onRanks<T>(program: (group: ProcessGroup) => Promise<T>): Promise<T[]> {
  const initMethod = `memory://tfjs-${jobs++}`;
  const common = { initMethod, worldSize: 2, device, timeoutMs: 20_000 };
  const groups = await Promise.all([0, 1].map((rank) => initProcessGroup({ ...common, rank })));
  try {
    return await Promise.all(groups.map(program));
  } finally {
    await Promise.all(groups.map((group) => group.destroy()));
  }
}

/** On the GPU: tf.js leaves there what a kernel made of more than a few elements. */
const onGpu = (shape: number[], value: number) =>
  tf
    .fill([2048], value)
    .add(1)
    .sub(1)
    .slice([0], [countOf(shape)])
    .reshape(shape);
const countOf = (shape: number[]) => shape.reduce((a, b) => a * b, 1);

/** Numbers for each place, without a random generator. */
const wave = (shape: number[], seed: number) =>
  tf.tensor(
    Float32Array.from({ length: countOf(shape) }, (_, i) => Math.sin(seed + 1.7 * i)),
    shape,
  );

describe("webccl/tfjs on the webgpu backend", () => {
  it("reduces on tf.js's own device what is there, commands included that are not submitted yet", async () => {
    const values = await onRanks(async (group) => {
      const buffers: unknown[] = [];
      const grads = { a: onGpu([5, 7], group.rank + 1), b: onGpu([3], 10 * group.rank), c: onGpu([1], 6) };
      const averaged = await averageGradients(group, grads, {
        commHook: async (bucket) => {
          buffers.push((bucket.buffer() as GpuTensor).buffer);
          await group.allReduce(bucket.buffer(), { op: "avg" });
          return bucket.buffer();
        },
      });
      expect(buffers).toEqual([expect.any(GPUBuffer)]);
      const again = await averageGradients(group, grads);
      const read = (all: Record<string, tf.Tensor>) =>
        Promise.all(Object.values(all).map(async (tensor) => [tensor.shape, Array.from(await tensor.data())]));
      const [first, second, inputs] = [await read(averaged), await read(again), await read(grads)];
      expect(second).toEqual(first);
      expect(inputs[0]).toEqual([[5, 7], Array(35).fill(group.rank + 1)]);
      return first;
    });
    const expected = [
      [[5, 7], Array(35).fill(1.5)],
      [[3], Array(3).fill(5)],
      [[1], [6]],
    ];
    expect(values).toEqual([expected, expected]);
  });

  it("takes what tf.js has in host memory, also where it is on the device of another rank", async () => {
    const values = await onRanks(async (group) => {
      const a = group.rank === 0 ? tf.tensor1d([2, 4, 6]) : onGpu([3], 8);
      const averaged = await averageGradients(group, { a });
      const untouched = await averageGradients(group, { a: tf.tensor1d([group.rank, 4]) });
      return [Array.from(await averaged.a.data()), Array.from(await untouched.a.data())];
    });
    const expected = [
      [5, 6, 7],
      [0.5, 4],
    ];
    expect(values).toEqual([expected, expected]);
  });

  it("averages in one call what lies partly in host memory, each rank as it has it", async () => {
    const values = await onRanks(async (group) => {
      const [host, gpu] = [tf.tensor1d([group.rank, 4]), onGpu([600], group.rank + 1)];
      const grads = group.rank === 0 ? { a: gpu, b: host } : { a: onGpu([600], 2), b: onGpu([2], 2) };
      const averaged = await averageGradients(group, grads, { bucketBytes: 4 });
      return [Array.from((await averaged.a.data()).slice(598)), Array.from(await averaged.b.data())];
    });
    const expected = [
      [1.5, 1.5],
      [1, 3],
    ];
    expect(values).toEqual([expected, expected]);
  });

  it("broadcasts variables", async () => {
    const values = await onRanks(async (group) => {
      const variables = [
        tf.variable(onGpu([30, 10], group.rank)),
        tf.variable(tf.tensor1d([group.rank + 1], "int32")),
        tf.variable(tf.tensor1d([group.rank === 1], "bool")),
      ];
      await broadcastVariables(group, variables, { root: 1 });
      return Promise.all(variables.map(async (variable) => (await variable.data())[0]));
    });
    expect(values).toEqual([
      [1, 2, 1],
      [1, 2, 1],
    ]);
  });

  it("trains 200 steps with as many tensors and GPUBuffers as before, and the same variables on all ranks", {
    timeout: 120_000,
  }, async () => {
    const [inputs, hidden, rows] = [40, 64, 16];
    const ranks = await onRanks(async (group) => {
      const [w, v] = [tf.variable(wave([inputs, hidden], 1)), tf.variable(wave([hidden, 1], 2))];
      const [x, y] = [wave([rows, inputs], 3 + group.rank), wave([rows, 1], 5 + group.rank)];
      const optimizer = distributed(tf.train.adam(0.01), group);
      const losses: number[] = [];
      const seen: [tensors: number, buffers: number][] = [];
      for (let i = 0; i < 200; i++) {
        const loss = optimizer.minimize(() => x.matMul<tf.Tensor2D>(w).tanh().matMul(v).sub(y).square().mean(), true, [
          w,
          v,
        ]);
        await optimizer.settled();
        if (i % 20 === 19) {
          losses.push((await loss!.data())[0]!);
          await group.barrier();
          seen.push([tf.memory().numTensors, liveBuffers]);
          await group.barrier();
        }
        loss?.dispose();
      }
      return { losses, seen, w: await w.data(), v: await v.data() };
    });
    const [{ losses, seen }] = ranks as [(typeof ranks)[0]];
    expect(losses.at(-1)).toBeLessThan(losses[0]! / 2);
    expect(ranks[1]!.w).toEqual(ranks[0]!.w);
    expect(ranks[1]!.v).toEqual(ranks[0]!.v);
    const settled = seen.slice(2);
    expect(new Set(settled.map(([tensors]) => tensors)).size).toBe(1);
    expect(new Set(settled.map(([, buffers]) => buffers)).size).toBe(1);
  });
});
