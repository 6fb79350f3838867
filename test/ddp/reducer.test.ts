/** The Reducer, seen by its user: order, overlap, unused parameters, noSync, errors. More than 400 lines: one behaviour a test, over one set of helpers. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type CommHook, type GradBucket, Reducer, type ReducerOptions } from "../../src/ddp/index.ts";
import { BucketSet } from "../../src/ddp/reducer/bucket-set.ts";
import { knownParameters } from "../../src/ddp/reducer/parameter.ts";
import { MismatchError } from "../../src/errors.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";
import type { Tensor } from "../../src/types.ts";
import { type RankTask, withMemoryGroups } from "../conformance/harness.ts";

const parametersOf = (counts: readonly number[]) =>
  counts.map((count, i) => ({ tensor: new Float32Array(count), shape: [count], name: `w${i}` }));

const reducerOf = (group: ProcessGroup, counts: readonly number[], options: Partial<ReducerOptions> = {}) =>
  new Reducer({ group, parameters: parametersOf(counts), bucketBytes: 64, firstBucketBytes: 16, ...options });

/** Gradients that differ by rank, parameter, step and element. */
const gradientOf = (rank: number, index: number, step: number, count: number) =>
  new Float32Array(count).map((_, i) => ((rank + 1) * 7 + index * 5 + step * 3 + i) % 61);

/** The mean as docs/arithmetic.md has it: each input times 1/N, rounded, then the left fold in rank order. */
const meanOf = (gradients: readonly Float32Array[]) => {
  const share = Math.fround(1 / gradients.length);
  const shares = gradients.map((gradient) => gradient.map((value) => value * share));
  return shares.reduce((sum, part) => sum.map((value, i) => value + part[i]!));
};

const meanOfRanks = (size: number, index: number, step: number, count: number) =>
  meanOf(Array.from({ length: size }, (_, rank) => gradientOf(rank, index, step, count)));

/** The indices 0 to count - 1 in an order drawn by `seed`. */
const shuffled = (count: number, seed: number) => new SeededRandom(seed).shuffle([...new Array(count).keys()]);

/** Ranks whose sums are folds in rank order. */
const withRanks = (size: number, task: RankTask<unknown>) => withMemoryGroups(size, task, { deterministic: true });

const messageOf = async (call: () => unknown): Promise<string> => {
  try {
    await call();
  } catch (error) {
    return String(error);
  }
  return "no error";
};

/** A promise, and the function that resolves it. */
function signal(): { promise: Promise<void>; fire(): void } {
  let fire = () => {};
  const promise = new Promise<void>((resolve) => {
    fire = resolve;
  });
  return { promise, fire };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("Reducer", () => {
  it("averages drawn parameters marked in drawn orders, whichever buckets they make", async () => {
    const drawn = fc.record({
      size: fc.integer({ min: 1, max: 4 }),
      counts: fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 8 }),
      bucketBytes: fc.integer({ min: 1, max: 200 }),
      firstBucketBytes: fc.integer({ min: 1, max: 200 }),
      gradientAsBucketView: fc.boolean(),
      findUnusedParameters: fc.boolean(),
      seed: fc.nat(1000),
    });
    await fc.assert(
      fc.asyncProperty(drawn, async ({ size, counts, seed, ...options }) => {
        await withRanks(size, async (group, rank) => {
          const reducer = reducerOf(group, counts, options);
          for (let step = 0; step < 3; step++) {
            reducer.prepareForBackward();
            const given = counts.map((count, index) => gradientOf(rank, index, step, count));
            for (const index of shuffled(counts.length, seed + rank * 10 + step))
              reducer.markReady(index, given[index]);
            const averaged = await reducer.finalize();
            counts.forEach((count, index) => {
              expect(averaged[index]).toEqual(meanOfRanks(size, index, step, count));
              if (!options.gradientAsBucketView) expect(averaged[index]).toBe(given[index]);
              else expect(given[index]).toEqual(gradientOf(rank, index, step, count));
            });
          }
          reducer.destroy();
        });
      }),
      { numRuns: 40 },
    );
  });

  it("fires bucket i only after bucket i-1, while gradients still come", async () => {
    await withMemoryGroups(2, async (group) => {
      const reducer = reducerOf(group, [4, 4, 4], { bucketBytes: 16 });
      expect(reducer.bucketIndices).toEqual([[2], [1], [0]]);
      const before = group.sequence;
      const fired = () => group.sequence - before;
      reducer.prepareForBackward();
      reducer.markReady(1, new Float32Array(4));
      expect(fired()).toBe(0);
      reducer.markReady(2, new Float32Array(4));
      expect(fired()).toBe(2);
      await group.waitForPendingWorks();
      reducer.markReady(0, new Float32Array(4));
      expect(fired()).toBe(3);
      await reducer.finalize();
    });
  });

  it("has all buckets under way when the last gradient has come, over links that deliver nothing before", async () => {
    const counts = new Array<number>(8).fill(16);
    const released = signal();
    let held = 0;
    const gate = () => {
      held++;
      return released.promise;
    };
    const marked = signal();
    let ranksMarked = 0;
    await withMemoryGroups(
      2,
      async (group, rank) => {
        const reducer = reducerOf(group, counts, { bucketBytes: 64, firstBucketBytes: 64 });
        reducer.prepareForBackward();
        for (const index of [...counts.keys()].reverse()) {
          reducer.markReady(index, gradientOf(rank, index, 0, 16));
          expect(group.sequence).toBe(8 - index);
        }
        if (++ranksMarked === 2) marked.fire();
        await marked.promise;
        await settled();
        expect(held).toBeGreaterThan(0);
        if (rank === 0) released.fire();
        const averaged = await reducer.finalize();
        for (const index of counts.keys()) expect(averaged[index]).toEqual(meanOfRanks(2, index, 0, 16));
      },
      { memory: { gate } } as object,
    );
  });

  it("rebuilds its buckets once, in the order of rank 0, on all ranks", async () => {
    const counts = [4, 8, 4, 4, 12];
    const orders = await withMemoryGroups(3, async (group, rank) => {
      const reducer = reducerOf(group, counts, { bucketBytes: 32, firstBucketBytes: 16 });
      const seen = [reducer.bucketIndices];
      for (let step = 0; step < 3; step++) {
        reducer.prepareForBackward();
        for (const index of shuffled(counts.length, 100 + rank + step))
          reducer.markReady(index, gradientOf(rank, index, step, counts[index]!));
        await reducer.finalize();
        seen.push(reducer.bucketIndices);
      }
      return seen;
    });
    const [first] = orders;
    expect(orders[1]).toEqual(first);
    expect(orders[2]).toEqual(first);
    expect(first![1]!.flat()).toEqual(shuffled(counts.length, 100));
    expect(first![1]).not.toEqual(first![0]);
    expect(first![3]).toEqual(first![1]);
  });

  it("keeps no memory of the buckets that were replaced", async () => {
    await withMemoryGroups(1, async (group) => {
      const parameters = knownParameters("test", [{ tensor: new Float32Array(3), shape: [3] }]);
      const { first } = new BucketSet(group, parameters, [8]);
      expect(first).toEqual([{ indices: [0], bytes: 12 }]);
    });
  });

  it("sums the gradients of noSync steps, and reduces the sums in the next step", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const reducer = reducerOf(group, [3, 5]);
      const mark = (step: number, indices: readonly number[]) => {
        reducer.prepareForBackward();
        for (const index of indices) reducer.markReady(index, gradientOf(rank, index, step, [3, 5][index]!));
        return reducer.finalize();
      };
      for (let round = 0; round < 3; round++) {
        const before = group.sequence;
        await reducer.noSync(async () => {
          await mark(0, [0]);
          const [first, second] = await mark(1, [1]);
          expect(first).toEqual(gradientOf(rank, 0, 0, 3));
          expect(second).toEqual(gradientOf(rank, 1, 1, 5));
        });
        expect(group.sequence).toBe(before);
        const [first, second] = await mark(2, [1, 0]);
        const sumOf = (r: number, index: number, a: number, count: number) =>
          gradientOf(r, index, a, count).map((value, i) => value + gradientOf(r, index, 2, count)[i]!);
        expect(first).toEqual(meanOf([0, 1].map((r) => sumOf(r, 0, 0, 3))));
        expect(second).toEqual(meanOf([0, 1].map((r) => sumOf(r, 1, 1, 5))));
      }
    });
  });

  it("reduces the sum of a parameter that only a noSync step has used", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const reducer = reducerOf(group, [3, 5], { findUnusedParameters: true });
      await reducer.noSync(async () => {
        reducer.prepareForBackward();
        if (rank === 1) reducer.markReady(0, gradientOf(1, 0, 0, 3));
        await reducer.finalize();
      });
      reducer.prepareForBackward();
      const [first, second] = await reducer.finalize();
      expect(first).toEqual(gradientOf(1, 0, 0, 3).map((value) => value / 2));
      expect(second).toBeNull();
    });
  });

  it("gives zeros for ranks that do not use a parameter, and null where none does", async () => {
    const drawn = fc.record({
      size: fc.integer({ min: 1, max: 4 }),
      used: fc.array(fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }), { minLength: 5, maxLength: 5 }),
      told: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(drawn, async ({ size, used, told }) => {
        await withRanks(size, async (group, rank) => {
          const reducer = reducerOf(group, [4, 4, 4, 4, 4], { findUnusedParameters: true });
          const isUsed = (index: number, step: number, r: number) => used[(index + step) % 5]![r]!;
          for (let step = 0; step < 3; step++) {
            const unused = [0, 1, 2, 3, 4].filter((index) => !isUsed(index, step, rank));
            reducer.prepareForBackward(told ? { unused } : {});
            for (const index of [0, 1, 2, 3, 4]) {
              if (isUsed(index, step, rank)) reducer.markReady(index, gradientOf(rank, index, step, 4));
            }
            const averaged = await reducer.finalize();
            for (const index of [0, 1, 2, 3, 4]) {
              const ranks = Array.from({ length: size }, (_, r) => r);
              const expected = ranks.some((r) => isUsed(index, step, r))
                ? meanOf(
                    ranks.map((r) => (isUsed(index, step, r) ? gradientOf(r, index, step, 4) : new Float32Array(4))),
                  )
                : null;
              expect(averaged[index]).toEqual(expected);
            }
          }
        });
      }),
      { numRuns: 25 },
    );
  });

  it("reduces what was written into its buckets, without a copy", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const reducer = reducerOf(group, [3, 5], { gradientAsBucketView: true });
      for (let step = 0; step < 2; step++) {
        reducer.prepareForBackward();
        for (const [index, count] of [3, 5].entries()) {
          (reducer.gradient(index) as Float32Array).set(gradientOf(rank, index, step, count));
          reducer.markReady(index);
        }
        const averaged = await reducer.finalize();
        expect(averaged).toEqual([meanOfRanks(2, 0, step, 3), meanOfRanks(2, 1, step, 5)]);
      }
    });
  });

  it("keeps f16, bf16, f64 and f32 apart, and gives each in the form of its parameter", async () => {
    await withMemoryGroups(2, async (group) => {
      const tensors = (): Tensor[] => [
        { data: Uint16Array.of(0x3c00, 0x4000, 0x4200), dtype: "f16" },
        { data: Uint16Array.of(0x3f80), dtype: "bf16" },
        Float64Array.of(1, 2),
        { data: Float32Array.of(3), dtype: "f32" },
      ];
      const parameters = tensors().map((tensor, i) => ({ tensor, shape: [[3], [], [1, 2], [1]][i]! }));
      const reducer = new Reducer({ group, parameters, gradientAsBucketView: true });
      expect(reducer.bucketIndices.length).toBe(4);
      reducer.prepareForBackward();
      for (const [index, tensor] of tensors().entries()) reducer.markReady(index, tensor);
      expect(await reducer.finalize()).toEqual(tensors());
    });
  });

  describe("refuses", () => {
    const cases: Record<string, [(reducer: Reducer) => unknown, RegExp]> = {
      "a parameter marked twice": [
        (reducer) => {
          reducer.prepareForBackward();
          reducer.markReady(1, new Float32Array(5));
          reducer.markReady(1, new Float32Array(5));
        },
        /parameter 1 \("w1"\) was marked before/,
      ],
      "a step before the last has all gradients": [
        (reducer) => {
          reducer.prepareForBackward();
          reducer.markReady(1, new Float32Array(5));
          reducer.prepareForBackward();
        },
        /not finished: no gradient came of parameter 0 \("w0"\)\. Mark each parameter/,
      ],
      "finalize without a gradient": [
        (reducer) => {
          reducer.prepareForBackward();
          reducer.markReady(0, new Float32Array(3));
          return reducer.finalize();
        },
        /finalize: no gradient came of parameter 1 \("w1"\)/,
      ],
      "noSync within a step": [
        (reducer) => {
          reducer.prepareForBackward();
          return reducer.noSync(() => {});
        },
        /noSync: the step before is not finished/,
      ],
      "a gradient without a step": [(reducer) => reducer.markReady(0, new Float32Array(3)), /no step is open/],
      "finalize without a step": [(reducer) => reducer.finalize(), /no step is open/],
      "unused without findUnusedParameters": [
        (reducer) => reducer.prepareForBackward({ unused: [0] }),
        /unused needs findUnusedParameters/,
      ],
      "an unknown option": [(reducer) => reducer.prepareForBackward({ unusd: [] } as object), /did you mean unused/],
    };
    it.each(Object.entries(cases))("%s, and the group stays whole", async (_name, [call, says]) => {
      await withMemoryGroups(1, async (group) => {
        expect(await messageOf(() => call(reducerOf(group, [3, 5])))).toMatch(says);
        await group.barrier();
      });
    });

    const gradients: [gradient: unknown, says: RegExp][] = [
      [new Float32Array(2), /gradient of parameter 0 \("w0"\) has 2 elements, and the parameter the shape \[3\]/],
      [new Float64Array(3), /is of dtype f64, and the parameter of f32/],
      [{ tensor: new Float32Array(3), shape: [1, 3] }, /has the shape \[1, 3\], and the parameter the shape \[3\]/],
      [{ tensor: new Float32Array(3), shape: [4] }, /has the shape \[4\], and its tensor has 3 elements/],
      [{ tensor: new Float32Array(3), shape: null }, /has the shape/],
      [[1, 2, 3], /an Array is not a tensor/],
      [null, /is null/],
    ];
    it.each(gradients)("the gradient %j, and the step goes on", async (gradient, says) => {
      await withMemoryGroups(1, async (group) => {
        const reducer = reducerOf(group, [3]);
        reducer.prepareForBackward();
        expect(await messageOf(() => reducer.markReady(0, gradient as Tensor))).toMatch(says);
        reducer.markReady(0, Float32Array.of(1, 2, 3));
        expect(await reducer.finalize()).toEqual([Float32Array.of(1, 2, 3)]);
      });
    });

    const options: [options: object, says: RegExp][] = [
      [{ group: null }, /group must be the ProcessGroup/],
      [{ parameters: [] }, /there are no parameters/],
      [{ parameters: 3 }, /parameters must be a list/],
      [{ parameters: [new Float32Array(3)] }, /parameter 0 is not of the form/],
      [{ parameters: [{ tensor: new Float32Array(3), shape: [2, 2] }] }, /shape \[2,2\], and its tensor has 3/],
      [{ parameters: [{ tensor: new Int32Array(3), shape: [3] }] }, /of dtype i32: gradients are floats/],
      [{ bucketBytes: 0 }, /bucketBytes must be a whole number from 1 on, got 0/],
      [{ firstBucketBytes: Number.NaN }, /firstBucketBytes must be a whole number/],
      [{ findUnusedParameters: 1 }, /findUnusedParameters must be true or false/],
      [{ bucketByts: 1 }, /did you mean bucketBytes/],
    ];
    it.each(options)("the options %j", async (wrong, says) => {
      await withMemoryGroups(1, async (group) => {
        expect(await messageOf(() => reducerOf(group, [3], wrong as Partial<ReducerOptions>))).toMatch(says);
      });
    });
  });

  it("goes on with a step after its missing gradient was marked", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const reducer = reducerOf(group, [3, 5]);
      reducer.prepareForBackward();
      reducer.markReady(0, gradientOf(rank, 0, 0, 3));
      if (rank === 0) expect(await messageOf(() => reducer.finalize())).toMatch(/no gradient came/);
      reducer.markReady(1, gradientOf(rank, 1, 0, 5));
      expect(await reducer.finalize()).toEqual([meanOfRanks(2, 0, 0, 3), meanOfRanks(2, 1, 0, 5)]);
    });
  });

  it("ends the group when a gradient was transferred away before its average came", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const reducer = reducerOf(group, [3]);
      const gradient = new Float32Array(3);
      reducer.prepareForBackward();
      reducer.markReady(0, gradient);
      if (rank === 1) structuredClone(gradient, { transfer: [gradient.buffer] });
      // Rank 0 has its average; it is told at its next call.
      if (rank === 1) expect(await messageOf(() => reducer.finalize())).toMatch(/detached/);
      else expect(await reducer.finalize()).toEqual([new Float32Array(3)]);
      const message = await messageOf(() => group.barrier());
      expect(message).toMatch(/rank 1 aborted it: the reduction of gradients failed/);
    });
  });

  it("rejects on all ranks when their parameters differ, and the group stays whole", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const reducer = reducerOf(group, [3 + rank]);
      for (let step = 0; step < 2; step++) {
        reducer.prepareForBackward();
        reducer.markReady(0, new Float32Array(3 + rank));
        await expect(reducer.finalize()).rejects.toBeInstanceOf(MismatchError);
        expect(reducer.loggingData().error).toMatch(/MismatchError/);
      }
      await group.barrier();
    });
  });
});

describe("a comm hook", () => {
  it("gets each bucket in order, one when the other has ended, and its result is the average", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const reducer = reducerOf(group, [4, 4, 4], { bucketBytes: 16 });
      const calls: string[] = [];
      let running = 0;
      reducer.registerCommHook("state", async (state: string, bucket: GradBucket) => {
        expect(++running).toBe(1);
        calls.push(`${state} ${bucket.index()} ${bucket.isLast()} ${bucket.parameters().map(({ shape }) => shape)}`);
        const doubled = (bucket.buffer() as Float32Array).map((value) => 2 * value);
        await group.allReduce(doubled);
        await settled();
        await group.barrier();
        running--;
        return bucket.index() === 1 ? [doubled] : doubled;
      });
      for (let step = 0; step < 2; step++) {
        reducer.prepareForBackward();
        for (const index of [2, 1, 0]) reducer.markReady(index, gradientOf(rank, index, step, 4));
        const averaged = await reducer.finalize();
        for (const index of [0, 1, 2])
          expect(averaged[index]).toEqual(meanOfRanks(2, index, step, 4).map((v) => 4 * v));
      }
      const step = ["state 0 false 4", "state 1 false 4", "state 2 true 4"];
      expect(calls).toEqual([...step, ...step]);
    });
  });

  it("is registered once, before the first step", async () => {
    await withMemoryGroups(1, async (group) => {
      const hook = async (_: null, bucket: GradBucket) => bucket.buffer();
      const reducer = reducerOf(group, [3]);
      expect(await messageOf(() => reducer.registerCommHook(null, 3 as unknown as CommHook<null>))).toMatch(
        /no function, but number/,
      );
      reducer.registerCommHook(null, hook);
      expect(await messageOf(() => reducer.registerCommHook(null, hook))).toMatch(/one hook is registered already/);
      expect(reducer.loggingData().commHook).toBe("hook");
      const later = reducerOf(group, [3]);
      later.prepareForBackward();
      expect(await messageOf(() => later.registerCommHook(null, hook))).toMatch(/before the first step/);
    });
  });

  const failures: [name: string, hook: (bucket: GradBucket) => unknown, says: RegExp][] = [
    [
      "throws",
      () => {
        throw new Error("no luck");
      },
      /no luck/,
    ],
    ["rejects", () => Promise.reject(new Error("no luck")), /no luck/],
    [
      "resolves to no tensor",
      async () => 3,
      /expected the hook result is either a Tensor or a TensorList found number/,
    ],
    ["resolves to another count", async () => new Float32Array(1), /a bucket of 4 elements cannot have a buffer of 1/],
    ["resolves to another dtype", async () => new Float64Array(4), /f32 gradients cannot have a buffer of f64/],
  ];
  it.each(failures)("that %s on one rank ends the group on all, and the step says why", async (_name, hook, says) => {
    await withMemoryGroups(2, async (group, rank) => {
      const reducer = reducerOf(group, [4, 4], { bucketBytes: 16 });
      reducer.registerCommHook(null, async (_: null, bucket) => {
        if (rank === 1 && bucket.index() === 0) return hook(bucket) as Promise<Tensor>;
        await group.allReduce(bucket.buffer(), { op: "avg" });
        return bucket.buffer();
      });
      reducer.prepareForBackward();
      for (const index of [1, 0]) reducer.markReady(index, new Float32Array(4));
      const message = await messageOf(() => reducer.finalize());
      if (rank === 1) expect(message).toMatch(says);
      else expect(message).toMatch(/rank 1 aborted it: the reduction of gradients failed/);
      expect(await messageOf(() => group.barrier())).toMatch(/aborted/);
    });
  });
});

describe("loggingData()", () => {
  it("tells sizes, order, hook, unused bytes and times", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const reducer = reducerOf(group, [4, 4, 8], { bucketBytes: 32, findUnusedParameters: true });
      for (let step = 0; step < 2; step++) {
        reducer.prepareForBackward();
        for (const index of [2, 0]) reducer.markReady(index, gradientOf(rank, index, step, [4, 4, 8][index]!));
        await reducer.finalize();
      }
      const data = reducer.loggingData();
      expect(data).toMatchObject({
        ...{ rank, worldSize: 2, iteration: 2, numParameterTensors: 3, totalParameterSizeBytes: 64, dtypes: ["f32"] },
        ...{
          bucketCapBytes: 32,
          firstBucketBytes: 16,
          bucketSizesBytes: [32, 32],
          perBucketParamIndices: [[2], [1, 0]],
        },
        ...{
          hasRebuiltBuckets: false,
          rebuiltBucketSizesBytes: [],
          unusedParameterSizeBytes: 16,
          commHook: "",
          error: null,
        },
        prevIterationGradReadyOrderIndices: [2, 0, 1],
      });
      expect(data.backwardCommTimeMs).toBeGreaterThan(0);
      expect(data.avgBackwardComputeTimeMs).toBeGreaterThanOrEqual(0);
      expect(data.backwardComputeCommOverlapTimeMs).toBeLessThanOrEqual(data.backwardCommTimeMs);
    });
  });
});
