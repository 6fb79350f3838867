import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CommHook } from "../../src/ddp/comm-hook.ts";
import { SCALE_MASK, STEP } from "../../src/ddp/hooks/quantised/int8-blocks.ts";
import { readBytes } from "../../src/ddp/host-copy.ts";
import {
  allReduceHook,
  bf16CompressHook,
  fp8CompressHook,
  fp16CompressHook,
  Int8State,
  int8Hook,
  PowerSgdState,
  powerSgdHook,
  TopKState,
  topKHook,
} from "../../src/ddp/index.ts";
import { f32ToBf16, f32ToF16 } from "../../src/executor/cpu/half.ts";
import type { GpuExecutor } from "../../src/executor/webgpu/create-executor.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";
import type { GpuTensor, HostTensor, Tensor } from "../../src/types.ts";
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

const HOOKS: Readonly<Record<string, (group: ProcessGroup) => (buffer: Tensor) => PromiseLike<unknown>>> = {
  allReduceHook: (group) => (buffer) => allReduceHook(group, bucketOf(buffer, [])),
  fp16CompressHook: (group) => (buffer) => fp16CompressHook(group, bucketOf(buffer, [])),
  bf16CompressHook: (group) => (buffer) => bf16CompressHook(group, bucketOf(buffer, [])),
  fp8CompressHook: (group) => (buffer) => fp8CompressHook(group, bucketOf(buffer, [])),
  int8Hook: (group) => {
    const state = new Int8State({ group, blockSize: 16 });
    return (buffer) => int8Hook(state, bucketOf(buffer, []));
  },
  topKHook: (group) => withState(topKHook, new TopKState({ group, ratio: 1 })),
  powerSgdHook: (group) => withState(powerSgdHook, new PowerSgdState({ group, startIteration: 0 })),
};
/** How far each may be from the mean. */
const BOUNDS: Readonly<Record<string, number>> = {
  ...{ allReduceHook: 1e-6, fp16CompressHook: 2 ** -9, bf16CompressHook: 2 ** -6, fp8CompressHook: 2 ** -3 },
  ...{ int8Hook: 2 ** -6, topKHook: 1e-6, powerSgdHook: 1e-6 },
};

describe.each(Object.keys(HOOKS))("%s on a GPU", (name) => {
  const hooksOf = (groups: readonly ProcessGroup[]) => groups.map(promising(HOOKS[name]!));

  it("gives the bits of the host", async () => {
    const groups = await groupsOnGpu(3);
    const random = new SeededRandom(31);
    const steps = [0, 1].map(() => groups.map(() => gradients(random, 501)));
    const mixed = await run(groups, hooksOf(groups), steps, (rank) => rank !== 1);
    const onHost = await run(groups, hooksOf(groups), steps, () => false);
    expect(mixed).toEqual(onHost);
    expect(mostDifference(new Float32Array(mixed[0]![0]!.buffer), meanOf(steps[0]!))).toBeLessThan(BOUNDS[name]!);
  });
});

/** Ties, the ends of f16, and what is not finite. Nothing from which a step makes a subnormal f32: adapters flush those. */
const SPECIAL = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, -0, 1, -1 - 2 ** -11, 1 + 2 ** -8];
const ENDS = [65_504, 65_520, -65_536, 2 ** 60, -(2 ** 60), 2 ** -14, 1.5 * 2 ** -25, 2 ** -60];

/** As many gradients for each of two ranks, and their dtype. */
const GRADIENTS = fc.integer({ min: 0, max: 70 }).chain((count) => {
  const whole = fc.integer({ min: -2048, max: 2048 });
  const value = fc.oneof(
    { weight: 30, arbitrary: whole },
    { weight: 1, arbitrary: fc.constantFrom(...SPECIAL, ...ENDS) },
  );
  return fc.record({
    dtype: fc.constantFrom("f32" as const, "f16" as const, "bf16" as const),
    scale: fc.integer({ min: -60, max: 20 }).map((exponent) => 2 ** exponent),
    values: fc.array(fc.array(value, { minLength: count, maxLength: count }), { minLength: 2, maxLength: 2 }),
  });
});

/** The elements of these values in host memory, and a copy of them in a GPUBuffer. */
function tensorsOf(dtype: "f32" | "f16" | "bf16", values: readonly number[]): [HostTensor, GpuTensor] {
  const narrow = dtype === "f16" ? f32ToF16 : f32ToBf16;
  const data = dtype === "f32" ? Float32Array.from(values) : Uint16Array.from(values, narrow);
  const words = new Uint8Array(Math.ceil(data.byteLength / 4) * 4);
  words.set(new Uint8Array(data.buffer));
  const onGpu = owner.alloc(dtype, values.length);
  owner.device.queue.writeBuffer(onGpu.buffer, 0, words);
  return [{ data, dtype }, onGpu];
}

describe.each(["fp16CompressHook", "bf16CompressHook", "fp8CompressHook", "int8Hook"])("%s on a GPU", (name) => {
  const hooksOf = (groups: readonly ProcessGroup[]) => groups.map(promising(HOOKS[name]!));

  it("has the bits of the host for gradients of each dtype, also with an odd count, and not finite", async () => {
    const groups = await groupsOnGpu(2);
    await fc.assert(
      fc.asyncProperty(GRADIENTS, async ({ dtype, scale, values }) => {
        const tensors = values.map((own) =>
          tensorsOf(
            dtype,
            own.map((value) => (Number.isInteger(value) && Math.abs(value) <= 2048 ? value * scale : value)),
          ),
        );
        const results: Uint8Array[][] = [];
        for (const memory of [0, 1]) {
          const hooks = hooksOf(groups);
          await Promise.all(hooks.map((hook, rank) => hook(tensors[rank]![memory]!)));
          results.push(await Promise.all(groups.map((group, rank) => readBytes(group, tensors[rank]![memory]!))));
        }
        for (const bytes of results.flat()) expect(bytes).toEqual(results[0]![0]);
      }),
      { numRuns: 40 },
    );
  });

  it("takes no more bytes from the GPU than it sends, and leaves no buffer behind", async () => {
    const groups = await groupsOnGpu(2);
    const { device } = owner;
    const { createBuffer, createCommandEncoder } = device;
    let [live, bytesRead] = [0, 0];
    device.createBuffer = (descriptor) => {
      const buffer = createBuffer.call(device, descriptor);
      live++;
      const destroy = buffer.destroy;
      buffer.destroy = () => {
        live--;
        return destroy.call(buffer);
      };
      return buffer;
    };
    device.createCommandEncoder = (descriptor) => {
      const encoder = createCommandEncoder.call(device, descriptor);
      const copy = encoder.copyBufferToBuffer as (...words: unknown[]) => undefined;
      encoder.copyBufferToBuffer = (...words: unknown[]) => {
        if ((words[2] as GPUBuffer).usage & MAP_READ) bytesRead += words[4] as number;
        return copy.apply(encoder, words);
      };
      return encoder;
    };
    try {
      const count = 40_000;
      const hooks = hooksOf(groups);
      // The other rank has none on the GPU, so the bytes for it leave the GPU.
      const inputs = [upload(gradients(new SeededRandom(3), count)), gradients(new SeededRandom(4), count)];
      const counts: number[] = [];
      for (let step = 0; step < 10; step++) {
        bytesRead = 0;
        await Promise.all(hooks.map((hook, rank) => hook(inputs[rank]!)));
        counts.push(live);
        // The gradients have 4 bytes an element.
        expect(bytesRead).toBeGreaterThan(count / 2);
        expect(bytesRead).toBeLessThan(2.1 * count);
      }
      expect(counts.at(-1)).toBe(counts[4]);
    } finally {
      Object.assign(device, { createBuffer, createCommandEncoder });
    }
  });
});

describe("fp8CompressHook on a GPU", () => {
  it("takes gradients so small that their scale is no f32", async () => {
    const groups = await groupsOnGpu(2);
    const random = new SeededRandom(8);
    const inputs = groups.map(() => Float32Array.from({ length: 99 }, () => (random.below(31) - 15) * 2 ** -124));
    const hooks = groups.map(promising(HOOKS.fp8CompressHook!));
    const onGpu = await run(groups, hooks, [inputs], () => true);
    expect(onGpu).toEqual(await run(groups, hooks, [inputs], () => false));
    expect(mostDifference(new Float32Array(onGpu[0]![0]!.buffer), meanOf(inputs))).toBeLessThanOrEqual(2 ** -124);
  });
});

/** GPUBufferUsage.MAP_READ. */
const MAP_READ = 1;

function withState<S>(hook: CommHook<S>, state: S): (buffer: Tensor) => PromiseLike<unknown> {
  return (buffer) => hook(state, bucketOf(buffer, [[501]]));
}

function promising(make: (group: ProcessGroup) => (buffer: Tensor) => PromiseLike<unknown>) {
  return (group: ProcessGroup) => {
    const hook = make(group);
    return async (buffer: Tensor) => hook(buffer);
  };
}
