import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CommHook } from "../../src/ddp/comm-hook.ts";
import { SCALE_MASK, STEP } from "../../src/ddp/hooks/int8-blocks.ts";
import { readBytes } from "../../src/ddp/host-copy.ts";
import {
  allReduceHook,
  fp8CompressHook,
  fp16CompressHook,
  Int8State,
  int8Hook,
  PowerSgdState,
  powerSgdHook,
  TopKState,
  topKHook,
} from "../../src/ddp/index.ts";
import type { GpuExecutor } from "../../src/executor/webgpu/create-executor.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";
import type { GpuTensor, Tensor } from "../../src/types.ts";
import { testExecutor } from "../helpers/gpu.ts";
import { bucketOf, gradients, meanOf, mostDifference, ranksOf } from "./ranks.ts";

let owner: GpuExecutor;

beforeAll(async () => {
  owner = await testExecutor();
});
afterAll(() => owner.dispose());

function upload(values: Float32Array<ArrayBuffer>): GpuTensor {
  const tensor = owner.alloc("f32", values.length);
  owner.device.queue.writeBuffer(tensor.buffer, 0, values);
  return tensor;
}

const download = async (group: ProcessGroup, tensor: Tensor) =>
  new Uint32Array((await readBytes(group, tensor)).buffer);
const bitsOf = (values: Float32Array) => new Uint32Array(values.buffer, values.byteOffset, values.length);

const groupsOnGpu = (size: number) => ranksOf(size, { device: owner.device });

/** The results of each step on every rank, as bits: rank r's gradients lie in a GPUBuffer if `isOnGpu(r)`. */
async function run(
  groups: readonly ProcessGroup[],
  hooks: readonly ((buffer: Tensor) => Promise<unknown>)[],
  steps: readonly (readonly Float32Array<ArrayBuffer>[])[],
  isOnGpu: (rank: number) => boolean,
): Promise<Uint32Array[][]> {
  const results: Uint32Array[][] = [];
  for (const inputs of steps) {
    results.push(
      await Promise.all(
        groups.map(async (group, rank) => {
          const input = inputs[rank]!.slice();
          const tensor = isOnGpu(rank) ? upload(input) : input;
          await hooks[rank]!(tensor);
          return ArrayBuffer.isView(tensor) ? bitsOf(input).slice() : await download(group, tensor);
        }),
      ),
    );
  }
  return results;
}

describe("int8Hook on a GPU", () => {
  it.each([
    [1, 256, 1000],
    [2, 64, 64],
    [3, 256, 5000],
    [4, 8, 13],
    [5, 16, 0],
  ])("gives the bits of the host, on %i ranks with blocks of %i and %i elements", async (size, blockSize, count) => {
    const random = new SeededRandom(size);
    // Rows of small integers beside others: their quotients lie between two integers, where ties are decided.
    const steps = Array.from({ length: 4 }, (_, step) =>
      Array.from({ length: size }, () =>
        step === 3 ? Float32Array.from({ length: count }, () => random.below(255) - 127) : gradients(random, count),
      ),
    );
    const groups = await groupsOnGpu(size);
    const outcomes = [];
    for (const isOnGpu of [() => true, () => false, (rank: number) => rank % 2 === 0]) {
      const hooks = groups.map((group) => {
        const state = new Int8State({ group, blockSize });
        return async (buffer: Tensor) => int8Hook(state, bucketOf(buffer, []));
      });
      outcomes.push(await run(groups, hooks, steps, isOnGpu));
    }
    for (const outcome of outcomes) {
      for (const [step, ofRanks] of outcome.entries()) {
        for (const bits of ofRanks) expect(bits, `step ${step}`).toEqual(outcomes[0]![step]![0]);
      }
    }
  });

  it("rounds ties to even as the host does, and what lies next to a tie to its side", async () => {
    const groups = await groupsOnGpu(1);
    const random = new SeededRandom(77);
    const next = (value: number, ulps: number) => {
      const float = Float32Array.of(value);
      new Int32Array(float.buffer)[0]! += ulps;
      return float[0]!;
    };
    // Blocks with many scales: the largest element, then half integers times the scale of it, each with its neighbours.
    const values = new Float32Array(256 * 40);
    for (let block = 0; block < 40; block++) {
      const most = next(2 ** (block - 20), random.below(2 ** 23));
      const bits = Uint32Array.of(0);
      const scale = new Float32Array(bits.buffer);
      scale[0] = most * STEP;
      bits[0]! &= SCALE_MASK;
      values[256 * block] = most;
      for (let i = 1; i < 256; i++) {
        const tie = (random.below(252) - 126 + 0.5) * scale[0]!;
        values[256 * block + i] = next(tie, (i % 3) - 1);
      }
    }
    const [onGpu, onHost] = await Promise.all(
      [true, false].map((isOnGpu) => {
        const state = new Int8State({ group: groups[0]! });
        const hook = async (buffer: Tensor) => int8Hook(state, bucketOf(buffer, []));
        return run(
          groups,
          [hook],
          [values, values, values].map((input) => [input]),
          () => isOnGpu,
        );
      }),
    );
    expect(onGpu).toEqual(onHost);
  });

  it("makes a block NaN that has a NaN or an Inf, and keeps nothing of it", async () => {
    const groups = await groupsOnGpu(2);
    const hooks = groups.map((group) => {
      const state = new Int8State({ group, blockSize: 8 });
      return async (buffer: Tensor) => int8Hook(state, bucketOf(buffer, []));
    });
    const random = new SeededRandom(1);
    const [bad, good] = [0, 1].map(() => groups.map(() => gradients(random, 32)));
    bad![0]![3] = Number.NaN;
    bad![1]![20] = Number.NEGATIVE_INFINITY;
    const [first, second] = await run(groups, hooks, [bad!, good!], () => true);
    for (const bits of first!) {
      const values = new Float32Array(bits.buffer);
      for (const [i, value] of values.entries()) {
        expect(Number.isNaN(value), `element ${i}`).toBe((i < 8 || i >= 16) && (i < 8 || i < 24));
      }
    }
    for (const bits of second!) expect(new Float32Array(bits.buffer).every(Number.isFinite)).toBe(true);
  });

  it("leaves no buffer behind", async () => {
    const groups = await groupsOnGpu(2);
    let live = 0;
    const { device } = owner;
    const create = device.createBuffer;
    device.createBuffer = (descriptor) => {
      const buffer = create.call(device, descriptor);
      live++;
      const destroy = buffer.destroy;
      buffer.destroy = () => {
        live--;
        return destroy.call(buffer);
      };
      return buffer;
    };
    try {
      const states = groups.map((group) => new Int8State({ group }));
      const inputs = groups.map(() => upload(gradients(new SeededRandom(2), 3000)));
      const counts: number[] = [];
      for (let step = 0; step < 12; step++) {
        await Promise.all(states.map((state, i) => int8Hook(state, bucketOf(inputs[i]!, []))));
        counts.push(live);
      }
      expect(counts.at(-1)).toBe(counts[4]);
      // Two buckets become one: what was kept for the second goes.
      const second = (i: number) => int8Hook(states[i]!, bucketOf(inputs[i]!, [], 1));
      await Promise.all(states.map((_, i) => second(i)));
      expect(live).toBeGreaterThan(counts[4]!);
      await Promise.all(states.map((state, i) => int8Hook(state, bucketOf(inputs[i]!, []))));
      expect(live).toBe(counts[4]);
      for (const state of states) state.destroy();
      // Of each state two buffers, and the executors' own stay.
      expect(live).toBe(counts[4]! - 2 * states.length);
    } finally {
      device.createBuffer = create;
    }
  });
});

describe.each<[string, (group: ProcessGroup) => (buffer: Tensor) => PromiseLike<unknown>, bound: number]>([
  ["allReduceHook", (group) => (buffer) => allReduceHook(group, bucketOf(buffer, [])), 1e-6],
  ["fp16CompressHook", (group) => (buffer) => fp16CompressHook(group, bucketOf(buffer, [])), 2 ** -9],
  ["fp8CompressHook", (group) => (buffer) => fp8CompressHook(group, bucketOf(buffer, [])), 2 ** -3],
  ["topKHook", (group) => withState(topKHook, new TopKState({ group, ratio: 1 })), 1e-6],
  ["powerSgdHook", (group) => withState(powerSgdHook, new PowerSgdState({ group, startIteration: 0 })), 1e-6],
])("%s on a GPU", (_name, make, bound) => {
  it("gives the bits of the host", async () => {
    const groups = await groupsOnGpu(3);
    const random = new SeededRandom(31);
    const steps = [0, 1].map(() => groups.map(() => gradients(random, 501)));
    const mixed = await run(groups, groups.map(promising(make)), steps, (rank) => rank !== 1);
    const onHost = await run(groups, groups.map(promising(make)), steps, () => false);
    expect(mixed).toEqual(onHost);
    expect(mostDifference(new Float32Array(mixed[0]![0]!.buffer), meanOf(steps[0]!))).toBeLessThan(bound);
  });
});

function withState<S>(hook: CommHook<S>, state: S): (buffer: Tensor) => PromiseLike<unknown> {
  return (buffer) => hook(state, bucketOf(buffer, [[501]]));
}

function promising(make: (group: ProcessGroup) => (buffer: Tensor) => PromiseLike<unknown>) {
  return (group: ProcessGroup) => {
    const hook = make(group);
    return async (buffer: Tensor) => hook(buffer);
  };
}
