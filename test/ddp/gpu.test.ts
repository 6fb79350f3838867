import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { DiLoCo, join, Reducer, ShardedOptimizer } from "../../src/ddp/index.ts";
import type { GpuExecutor } from "../../src/executor/webgpu/create-executor.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { describe as viewOf } from "../../src/tensor/describe.ts";
import type { DataType, GpuTensor, Tensor } from "../../src/types.ts";
import { type RankTask, withMemoryGroups } from "../conformance/harness.ts";
import { testExecutor } from "../helpers/gpu.ts";

const COUNTS = [5, 3, 8];

let owner: GpuExecutor;

beforeAll(async () => {
  owner = await testExecutor();
});

afterAll(() => owner.dispose());

const withGpu = (size: number, task: RankTask<unknown>) =>
  withMemoryGroups(size, task, { device: owner.device, backend: "webgpu" });

function upload(dtype: DataType, values: Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>): GpuTensor {
  const tensor = owner.alloc(dtype, values.length);
  const bytes = new Uint8Array(Math.ceil(values.byteLength / 4) * 4);
  bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  owner.device.queue.writeBuffer(tensor.buffer, 0, bytes);
  return tensor;
}

async function download(tensor: Tensor | null): Promise<Uint8Array> {
  const lease = await owner.read(owner.span(viewOf(tensor)));
  const copy = lease.bytes.slice();
  lease.release();
  return copy;
}

const floatsOf = async (tensor: Tensor | null) => new Float32Array((await download(tensor)).buffer);

const valuesOf = (rank: number, index: number, step: number) =>
  new Float32Array(COUNTS[index]!).map((_, i) => 4 * ((rank + 1) * (step + 1) + index + i));

const meanOf = (index: number, step: number) =>
  valuesOf(0, index, step).map((value, i) => (value + valuesOf(1, index, step)[i]!) / 2);

const parametersOf = () => COUNTS.map((count) => ({ tensor: upload("f32", new Float32Array(count)), shape: [count] }));

describe("a Reducer of GPUBuffers", () => {
  it.each([false, true])("averages them in place, rebuilt, with views %s", async (gradientAsBucketView) => {
    await withGpu(2, async (group, rank) => {
      const options = { bucketBytes: 32, firstBucketBytes: 16, gradientAsBucketView };
      const reducer = new Reducer({ group, parameters: parametersOf(), ...options });
      for (let step = 0; step < 3; step++) {
        const given = COUNTS.map((_, index) => upload("f32", valuesOf(rank, index, step)));
        reducer.prepareForBackward();
        for (const index of [1, 2, 0]) reducer.markReady(index, given[index]);
        const averaged = await reducer.finalize();
        for (const index of COUNTS.keys()) {
          expect(await floatsOf(averaged[index]!)).toEqual(meanOf(index, step));
          expect(averaged[index] === given[index]).toBe(!gradientAsBucketView);
        }
      }
      expect(reducer.bucketIndices.flat()).toEqual([1, 2, 0]);
      reducer.destroy();
    });
  });

  it("sums the gradients of noSync steps there, and leaves out unused ones", async () => {
    await withGpu(2, async (group, rank) => {
      const reducer = new Reducer({ group, parameters: parametersOf(), findUnusedParameters: true });
      const step = (number: number) => {
        reducer.prepareForBackward();
        reducer.markReady(0, upload("f32", valuesOf(rank, 0, number)));
        if (rank === 1) reducer.markReady(2, upload("f32", valuesOf(rank, 2, number)));
        return reducer.finalize();
      };
      await reducer.noSync(() => step(0));
      const [first, second, third] = await step(1);
      expect(await floatsOf(first!)).toEqual(meanOf(0, 0).map((value, i) => value + meanOf(0, 1)[i]!));
      expect(second).toBeNull();
      expect(await floatsOf(third!)).toEqual(valuesOf(1, 2, 0).map((value, i) => (value + valuesOf(1, 2, 1)[i]!) / 2));
    });
  });

  it("keeps no GPUBuffer of a step", async () => {
    const { device } = owner;
    const live = new Set<GPUBuffer>();
    const createBuffer = device.createBuffer.bind(device);
    device.createBuffer = (descriptor) => {
      const buffer = createBuffer(descriptor);
      const destroy = buffer.destroy.bind(buffer);
      buffer.destroy = () => {
        live.delete(buffer);
        return destroy();
      };
      live.add(buffer);
      return buffer;
    };
    onTestFinished(() => {
      device.createBuffer = createBuffer;
    });
    await withGpu(1, async (group) => {
      const parameters = parametersOf();
      const gradients = COUNTS.map((_, index) => upload("f32", valuesOf(0, index, 0)));
      const reducer = new Reducer({ group, parameters, bucketBytes: 16 });
      const diloco = new DiLoCo({ group, parameters, localSteps: 1 });
      const counts: number[] = [];
      for (let step = 0; step < 30; step++) {
        reducer.prepareForBackward();
        for (const [index, gradient] of gradients.entries()) reducer.markReady(index, gradient);
        await reducer.finalize();
        await diloco.step();
        counts.push(live.size);
      }
      expect(counts.slice(10)).toEqual(new Array(20).fill(counts[9]));
      const before = live.size;
      reducer.destroy();
      diloco.destroy();
      expect(before - live.size).toBe(reducer.bucketIndices.length + 3);
    });
  });

  it("takes odd counts of f16 beside each other, and gives hooks zeros between them", async () => {
    await withGpu(2, async (group) => {
      const halves = (...bits: number[]) => upload("f16", Uint16Array.from(bits));
      const parameters = [0, 1].map(() => ({ tensor: halves(0, 0, 0), shape: [3] }));
      const reducer = new Reducer({ group, parameters, gradientAsBucketView: true });
      const flats: Uint8Array[] = [];
      reducer.registerCommHook(null, async (_, bucket) => {
        flats.push(await download(bucket.buffer()));
        return bucket.buffer();
      });
      reducer.prepareForBackward();
      reducer.markReady(0, { ...halves(1, 2, 3, 0x7e00), count: 3 });
      reducer.markReady(1, { ...halves(4, 5, 6, 0x7e00), count: 3 });
      const averaged = await reducer.finalize();
      expect(new Uint16Array(flats[0]!.buffer)).toEqual(Uint16Array.of(4, 5, 6, 0, 1, 2, 3, 0));
      expect([...new Uint16Array((await download(averaged[0]!)).buffer)].slice(0, 3)).toEqual([1, 2, 3]);
    });
  });

  it("refuses a gradient in host memory, and needs a device", async () => {
    await withGpu(1, async (group) => {
      const reducer = new Reducer({ group, parameters: parametersOf() });
      reducer.prepareForBackward();
      expect(() => reducer.markReady(0, new Float32Array(5))).toThrow(/is in host memory, and the parameter in gpu/);
    });
    await withMemoryGroups(1, async (group) => {
      expect(() => new Reducer({ group, parameters: parametersOf() })).toThrow(/has no GPU/);
    });
  });

  it("joins with uneven inputs", async () => {
    await withGpu(2, async (group, rank) => {
      const reducer = new Reducer({ group, parameters: parametersOf() });
      await join([reducer], async () => {
        for (let step = 0; step < 2 * rank; step++) {
          reducer.prepareForBackward();
          for (const index of COUNTS.keys()) reducer.markReady(index, upload("f32", valuesOf(rank, index, step)));
          const [first] = await reducer.finalize();
          expect(await floatsOf(first!)).toEqual(valuesOf(rank, 0, step).map((value) => value / 2));
        }
      });
    });
  });
});

describe("optimizers of GPUBuffers", () => {
  it("ShardedOptimizer gives a rule its share there", async () => {
    await withGpu(2, async (group: ProcessGroup, rank) => {
      const parameters = parametersOf();
      const rule = {
        initialState: () => null,
        // The simplest rule that a test can run on a GPU: the parameters become the averaged gradients.
        update: ({ parameters: target, gradients }: { parameters: Tensor; gradients: Tensor }) => {
          const [to, from] = [target as GpuTensor, gradients as GpuTensor];
          const encoder = owner.device.createCommandEncoder();
          const bytes = viewOf(to).byteLength;
          encoder.copyBufferToBuffer(from.buffer, from.byteOffset ?? 0, to.buffer, to.byteOffset ?? 0, bytes);
          owner.device.queue.submit([encoder.finish()]);
        },
      };
      const optimizer = new ShardedOptimizer({ group, parameters, rule });
      await optimizer.step(COUNTS.map((_, index) => upload("f32", valuesOf(rank, index, 0))));
      for (const [index, { tensor }] of parameters.entries()) expect(await floatsOf(tensor)).toEqual(meanOf(index, 0));
      optimizer.destroy();
    });
  });

  it("DiLoCo averages there", async () => {
    await withGpu(2, async (group, rank) => {
      const parameters = parametersOf();
      const diloco = new DiLoCo({ group, parameters, localSteps: 1, outerLearningRate: 1, outerMomentum: 0 });
      for (const [index, { tensor }] of parameters.entries()) {
        owner.device.queue.writeBuffer(tensor.buffer, 0, valuesOf(rank, index, 0));
      }
      expect(await diloco.step()).toBe(true);
      for (const [index, { tensor }] of parameters.entries()) expect(await floatsOf(tensor)).toEqual(meanOf(index, 0));
      diloco.destroy();
    });
  });
});
