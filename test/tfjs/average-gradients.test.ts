import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { AbortedError, MismatchError } from "../../src/errors.ts";
import { averageGradients } from "../../src/tfjs/index.ts";
import { endsOnRanks, onRanks } from "./ranks.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const countOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** Whole numbers, whose sums are exact. */
const gradient = (shape: number[], seed: number) =>
  tf.tensor(
    Float32Array.from({ length: countOf(shape) }, (_, i) => ((seed * 7 + i * 3) % 64) * 4),
    shape,
  );

describe("averageGradients()", () => {
  it("averages any shapes in buckets of any size, keeps order and form, and changes no input", async () => {
    const shapes = fc.array(fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 4 }), { maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(shapes, fc.integer({ min: 1, max: 200 }), fc.boolean(), async (lists, bucketBytes, asList) => {
        const names = lists.map((_, i) => `z${lists.length - i}`);
        const results = await onRanks(2, async (group) => {
          const tensors = lists.map((shape, i) => gradient(shape, i + 10 * group.rank));
          const own = tensors.map((tensor) => tensor.dataSync().slice());
          const entries = tensors.map((tensor, i) => ({ name: names[i]!, tensor }));
          const averaged = asList
            ? await averageGradients(group, entries, { bucketBytes })
            : Object.entries(
                await averageGradients(group, Object.fromEntries(entries.map((e) => [e.name, e.tensor])), {
                  bucketBytes,
                }),
              ).map(([name, tensor]) => ({ name, tensor: tensor as tf.Tensor }));
          const values = averaged.map(({ name, tensor }) => ({
            ...{ name, shape: tensor.shape, values: Array.from((tensor as tf.Tensor).dataSync()) },
          }));
          expect(tensors.map((tensor) => tensor.dataSync())).toEqual(own);
          tf.dispose([tensors, averaged]);
          return values;
        });
        const expected = lists.map((shape, i) => {
          const [a, b] = [gradient(shape, i), gradient(shape, i + 10)];
          const values = Array.from(a.add(b).div(2).dataSync());
          return { name: names[i], shape, values };
        });
        expect(results).toEqual([expected, expected]);
      }),
      { numRuns: 40 },
    );
  });

  it("frees all it makes", async () => {
    await onRanks(2, async (group) => {
      const grads = { a: tf.ones([3]), b: tf.ones([2, 2]) };
      await group.barrier();
      const before = tf.memory().numTensors;
      await group.barrier();
      for (let i = 0; i < 5; i++) tf.dispose(await averageGradients(group, grads));
      await group.barrier();
      expect(tf.memory().numTensors).toBe(before);
    });
  });

  it.each([
    [
      "another name",
      () => ({ a: tf.ones([2]), c: tf.ones([3]) }),
      /gradient 1 of rank 1 is c, float32 \[3\], that of rank 0 is b/,
    ],
    ["another shape", () => ({ a: tf.ones([2]), b: tf.ones([3, 1]) }), /gradient 1 of rank 1 is b, float32 \[3, 1\]/],
    ["another dtype", () => ({ a: tf.ones([2], "int32"), b: tf.ones([3]) }), /gradient 0 of rank 1 is a, int32/],
    ["another order", () => ({ b: tf.ones([3]), a: tf.ones([2]) }), /gradient 0 of rank 1 is b/],
    ["fewer", () => ({ a: tf.ones([2]) }), /gradient 1 of rank 1 is absent/],
  ])("rejects on every rank with a MismatchError where a rank has %s, and goes on", async (_what, other, says) => {
    await onRanks(2, async (group) => {
      const right = { a: tf.ones([2]), b: tf.ones([3]) };
      const grads: Record<string, tf.Tensor> = group.rank === 1 ? other() : right;
      const failed = averageGradients(group, grads);
      await expect(failed).rejects.toThrow(says);
      await expect(failed).rejects.toBeInstanceOf(MismatchError);
      await averageGradients(group, right);
      // A change of one rank's list alone is one too.
      await expect(averageGradients(group, grads)).rejects.toBeInstanceOf(MismatchError);
      const averaged = await averageGradients(group, right);
      expect(Array.from(averaged.a.dataSync())).toEqual([1, 1]);
    });
  });

  it("takes names that tf.js numbers, whatever each process has counted to", async () => {
    await onRanks(2, async (group) => {
      const from = 5 * group.rank;
      await averageGradients(group, { [`v_${from}/k_2`]: tf.ones([2]), [`v_${from + 1}/k_2`]: tf.ones([2]) });
      const swapped = [`w${group.rank}`, `w${1 - group.rank}`].map((name) => ({ name, tensor: tf.ones([2]) }));
      await expect(averageGradients(group, swapped)).rejects.toBeInstanceOf(MismatchError);
    });
  });

  it("gives each bucket to the comm hook, in order, and takes its result", async () => {
    const seen = await onRanks(2, async (group) => {
      const buckets: unknown[] = [];
      const averaged = await averageGradients(
        group,
        { a: tf.fill([2, 2], group.rank + 1), b: tf.fill([3], 4), c: tf.fill([1], 8) },
        {
          bucketBytes: 20,
          commHook: async (bucket) => {
            const shapes = bucket.parameters().map(({ shape }) => shape);
            buckets.push([bucket.index(), bucket.isLast(), shapes]);
            const sum = (bucket.buffer() as Float32Array).slice();
            await group.allReduce(sum);
            return bucket.isLast() ? [sum] : sum;
          },
        },
      );
      return [buckets, Object.values(averaged).map((tensor) => Array.from(tensor.dataSync()))];
    });
    const buckets = [
      [0, false, [[2, 2], [3]]],
      [1, true, [[1]]],
    ];
    const sums = [[3, 3, 3, 3], [8, 8, 8], [16]];
    expect(seen).toEqual([
      [buckets, sums],
      [buckets, sums],
    ]);
  });

  it.each([
    ["throws", () => Promise.reject(new Error("no such codec")), /no such codec/],
    ["gives no tensor", async () => "7" as never, /expected the hook result is either a Tensor or a TensorList/],
    ["gives another count", async () => new Float32Array(1), /cannot have a buffer of 1/],
  ])("aborts the group where a comm hook %s", async (_what, commHook, says) => {
    const ends = await endsOnRanks(2, async (group) => {
      const hook = group.rank === 0 ? commHook : () => group.barrier().then(() => new Float32Array(3));
      await averageGradients(group, { a: tf.ones([3]) }, { commHook: hook });
    });
    expect(ends[0]).toMatchObject({ reason: { message: expect.stringMatching(says) } });
    expect(ends[1]).toMatchObject({ reason: expect.any(AbortedError) });
  });

  it("refuses what is no gradient before anything is sent", async () => {
    await onRanks(1, async (group) => {
      const disposed = tf.ones([1]);
      disposed.dispose();
      const wrong: [unknown, RegExp][] = [
        [{ a: new Float32Array(2) }, /the gradient of a is not a tf.Tensor/],
        [{ a: disposed }, /a is disposed/],
        [{ a: tf.complex([1], [2]) }, /a is complex64; known are float32, int32, bool/],
        [null, /must be an object or a list/],
      ];
      for (const [grads, says] of wrong) {
        await expect(averageGradients(group, grads as Record<string, tf.Tensor>)).rejects.toThrow(says);
      }
      const grads = { a: tf.ones([1]) };
      for (const op of ["bor", "summe"]) {
        await expect(averageGradients(group, grads, { op: op as "sum" })).rejects.toThrow(
          /averageGradients: .*(op|bor)/,
        );
      }
      expect(group.sequence).toBe(0);
    });
  });

  it("is named by the error for a tf.Tensor that is passed to a collective", async () => {
    await onRanks(1, async (group) => {
      await expect(group.allReduce(tf.ones([2]) as never)).rejects.toThrow(/webccl\/tfjs/);
    });
  });
});
