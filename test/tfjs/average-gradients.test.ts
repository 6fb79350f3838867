import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { fp16CompressHook, type GradBucket } from "../../src/ddp/index.ts";
import { AbortedError, MismatchError, ProtocolError } from "../../src/errors.ts";
import { inTurn, type Turn } from "../../src/group/turns.ts";
import { averageGradients } from "../../src/tfjs/index.ts";
import { endsOnRanks, onRanks, slow } from "./ranks.ts";

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
      /gradient 1 of rank 1 is "c", float32 \[3\], that of rank 0 is "b"/,
    ],
    ["another shape", () => ({ a: tf.ones([2]), b: tf.ones([3, 1]) }), /gradient 1 of rank 1 is "b", float32 \[3, 1\]/],
    ["another dtype", () => ({ a: tf.ones([2], "int32"), b: tf.ones([3]) }), /gradient 0 of rank 1 is "a", int32/],
    ["another order", () => ({ b: tf.ones([3]), a: tf.ones([2]) }), /gradient 0 of rank 1 is "b"/],
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
        [{ a: tf.complex([1], [2]) }, /a is complex64; known are float32, int32/],
        [{ a: tf.tensor1d([true], "bool") }, /a is bool; known are float32, int32/],
        [[{ name: 5, tensor: tf.ones([1]) }], /the name of item 0 must be a string, got 5/],
        [[{ name: "a", tensor: null }, tf.ones([1])], /item 1 must be a gradient with its name/],
        [[null], /item 0 must be a gradient with its name/],
        [[{ name: Symbol("a"), tensor: 5 }], /the gradient of Symbol\(a\) is not a tf.Tensor/],
        [new Map([["a", tf.ones([1])]]), /must be an object or a list, got another collection/],
        [null, /must be an object or a list/],
        ["ab", /must be an object or a list, got ab/],
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

  it("pairs calls that nobody awaits in the order in which they were made, whenever each rank has its values", async () => {
    const turns = fc.array(fc.array(fc.nat(20), { minLength: 2, maxLength: 2 }), { minLength: 2, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(turns, fc.boolean(), async (calls, hooked) => {
        const results = await onRanks(2, async (group) => {
          const commHook = async (bucket: GradBucket) => {
            await group.allReduce(bucket.buffer(), { op: "avg" });
            return bucket.buffer();
          };
          // Both ranks agree on the names first, so that these calls differ in nothing but their values.
          await averageGradients(group, { a: tf.zeros([1]) });
          const averaged = calls.map((turns, i) => {
            const tensor = tf.tensor1d([20 * i + 2 * group.rank]);
            return averageGradients(group, { a: slow(tensor, turns[group.rank]!) }, hooked ? { commHook } : {});
          });
          return (await Promise.all(averaged)).map(({ a }) => a.dataSync()[0]);
        });
        const expected = calls.map((_, i) => 20 * i + 1);
        expect(results).toEqual([expected, expected]);
      }),
      { numRuns: 15 },
    );
  });

  it("works with hooks that take turns of the group themselves", async () => {
    await onRanks(2, async (group) => {
      const hook = fp16CompressHook;
      const calls = [0, 1].map((i) =>
        averageGradients(group, { a: tf.fill([4], i + 2 * group.rank) }, { commHook: (bucket) => hook(group, bucket) }),
      );
      const [first, second] = await Promise.all(calls);
      expect([...first!.a.dataSync(), ...second!.a.dataSync()]).toEqual([1, 1, 1, 1, 2, 2, 2, 2]);
    });
  });

  it("tells the other ranks of a call with wrong arguments: none gets the values of another call", async () => {
    await onRanks(2, async (group) => {
      const grads = { a: tf.ones([2]) };
      await averageGradients(group, grads);
      const refused = () =>
        expect(averageGradients(group, { a: 1 as unknown as tf.Tensor })).rejects.toThrow(TypeError);
      if (group.rank === 1) await refused();
      await expect(averageGradients(group, grads)).rejects.toBeInstanceOf(MismatchError);
      if (group.rank === 0) await refused();
    });
  });

  it.each([
    ["no object", null],
    ["no lists", { entries: 1, names: {} }],
    ["too few names", { entries: [["a", [], [2], "float32"]], names: [] }],
    ["an entry that is none", { entries: [["a", [], 2, "float32"]], names: ["a"] }],
    ["a long entry", { entries: [["a", [], [2], "float32", 0]], names: ["a"] }],
    ["a name that is none", { entries: [["a", [], [3], "float32"]], names: [7] }],
  ])("ends the group with a ProtocolError where a rank tells %s for its list", async (_what, told) => {
    const ends = await endsOnRanks(2, async (group) => {
      const lie = ({ part }: Turn) => group.allGatherObject<unknown>(told, part);
      if (group.rank === 1) await inTurn(group, "tfjs", () => {}, lie);
      else await averageGradients(group, { a: tf.ones([2]) });
      await group.barrier();
    });
    expect(ends[0]).toMatchObject({ reason: expect.any(ProtocolError) });
    expect(String((ends[0] as PromiseRejectedResult).reason)).toMatch(/rank 1 told no list of tensors/);
    expect(ends[1]?.status).toBe("rejected");
  });

  it.each([1, 2, 3])("frees all where tensor %i of the result cannot be made, and ends the group", async (last) => {
    const engine = tf.engine();
    const { makeTensor } = engine;
    await onRanks(1, async (group) => {
      const grads = { a: tf.ones([2]), b: tf.ones([3]), c: tf.ones([4]) };
      const before = tf.memory().numTensors;
      let made = 0;
      engine.makeTensor = (...args) => {
        if (++made === last) throw new Error("out of memory");
        return makeTensor.apply(engine, args);
      };
      const failed = averageGradients(group, grads, { bucketBytes: 20 });
      await expect(failed.finally(() => Object.assign(engine, { makeTensor }))).rejects.toThrow("out of memory");
      expect(tf.memory().numTensors).toBe(before);
      await expect(group.barrier()).rejects.toBeInstanceOf(AbortedError);
    });
  });

  it("is named by the error for a tf.Tensor that is passed to a collective", async () => {
    await onRanks(1, async (group) => {
      await expect(group.allReduce(tf.ones([2]) as never)).rejects.toThrow(/webccl\/tfjs/);
    });
  });
});
