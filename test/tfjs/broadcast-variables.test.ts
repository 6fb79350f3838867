import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { AbortedError, MismatchError } from "../../src/errors.ts";
import { broadcastVariables } from "../../src/tfjs/index.ts";
import { endsOnRanks, onRanks, slow } from "./ranks.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

describe("broadcastVariables()", () => {
  it("gives all ranks root's values, of every dtype it carries, and keeps the number of tensors", async () => {
    const values = await onRanks(3, async (group) => {
      const { rank } = group;
      const variables = [
        tf.variable(tf.fill([2, 3], rank + 0.5)),
        tf.variable(tf.tensor1d([rank, -rank], "int32")),
        tf.variable(tf.tensor1d([rank === 2, rank !== 2, true], "bool")),
        tf.variable(tf.zeros([0])),
      ];
      await group.barrier();
      const before = tf.memory().numTensors;
      await group.barrier();
      await broadcastVariables(group, variables, { root: 2, bucketBytes: 8 });
      await group.barrier();
      expect(tf.memory().numTensors).toBe(before);
      return variables.map((variable) => Array.from(variable.dataSync()));
    });
    const expected = [Array(6).fill(2.5), [2, -2], [1, 0, 1], []];
    expect(values).toEqual([expected, expected, expected]);
  });

  it("takes model.weights and variables by name; a tensor that shares a variable's storage stays as it is", async () => {
    const values = await onRanks(2, async (group) => {
      const model = tf.sequential({ layers: [tf.layers.dense({ units: 2, inputShape: [3] })] });
      await broadcastVariables(group, model.weights);
      const named = tf.variable(tf.scalar(group.rank));
      const shares = named.reshape([1]);
      await broadcastVariables(group, { named }, { root: 1 });
      const weights = model.getWeights().map((weight) => Array.from(weight.dataSync()));
      return { weights, named: named.dataSync()[0], shares: shares.dataSync()[0] };
    });
    expect(values[0]!.weights).toEqual(values[1]!.weights);
    expect(values.map(({ named, shares }) => [named, shares])).toEqual([
      [1, 0],
      [1, 1],
    ]);
  });

  it("rejects on every rank where the lists differ", async () => {
    await onRanks(2, async (group) => {
      const variable = tf.variable(tf.zeros([2 + group.rank]));
      const failed = broadcastVariables(group, [variable]);
      await expect(failed).rejects.toBeInstanceOf(MismatchError);
      await expect(failed).rejects.toThrow(/variable 0 of rank 1 is "\d+", float32 \[3\], that of rank 0/);
    });
  });

  it("pairs calls that nobody awaits in the order in which they were made, whenever each rank has its values", async () => {
    const turns = fc.array(fc.array(fc.nat(20), { minLength: 2, maxLength: 2 }), { minLength: 2, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(turns, async (calls) => {
        const results = await onRanks(2, async (group) => {
          const variables = calls.map((_, i) => tf.variable(tf.scalar(10 * i + group.rank)));
          const works = variables.map((variable, i) =>
            broadcastVariables(group, { variable: slow(variable, calls[i]![group.rank]!) }, { root: 1 }),
          );
          await Promise.all(works);
          return variables.map((variable) => variable.dataSync()[0]);
        });
        const expected = calls.map((_, i) => 10 * i + 1);
        expect(results).toEqual([expected, expected]);
      }),
      { numRuns: 15 },
    );
  });

  it("tells the other ranks of a call with wrong arguments: none gets the values of another call", async () => {
    await onRanks(2, async (group) => {
      const variable = tf.variable(tf.scalar(group.rank));
      const refused = () => expect(broadcastVariables(group, [variable], { root: 2 })).rejects.toThrow(RangeError);
      if (group.rank === 1) await refused();
      await expect(broadcastVariables(group, [variable])).rejects.toBeInstanceOf(MismatchError);
      if (group.rank === 0) await refused();
      expect(variable.dataSync()[0]).toBe(group.rank);
    });
  });

  it("ends the group where a rank cannot read its values, for the others wait", async () => {
    const ends = await endsOnRanks(2, async (group) => {
      const variable = tf.variable(tf.scalar(group.rank));
      if (group.rank === 1) variable.data = () => Promise.reject(new Error("context lost"));
      await broadcastVariables(group, [variable]);
    });
    expect(ends[0]).toMatchObject({ reason: expect.any(AbortedError) });
    expect(String((ends[0] as PromiseRejectedResult).reason)).toMatch(/rank 1 aborted it.*context lost/);
    expect(ends[1]).toMatchObject({ reason: { message: "context lost" } });
  });

  it.each([0, 1, 2])("frees all values where variable %i does not take its own, and goes on", async (at) => {
    await onRanks(2, async (group) => {
      const variables = [0, 1, 2].map((i) => tf.variable(tf.scalar(i + group.rank)));
      await group.barrier();
      const before = tf.memory().numTensors;
      await group.barrier();
      variables[at]!.assign = () => {
        throw new Error("no such value");
      };
      await expect(broadcastVariables(group, variables)).rejects.toThrow("no such value");
      await group.barrier();
      expect(tf.memory().numTensors).toBe(before);
      await group.barrier();
    });
  });

  it("refuses wrong arguments", async () => {
    await onRanks(2, async (group) => {
      const variable = tf.variable(tf.zeros([2]));
      await expect(broadcastVariables(group, [variable], { root: 2 })).rejects.toThrow(RangeError);
      await expect(broadcastVariables(group, [variable], { src: 1 } as object)).rejects.toThrow(/did you mean root/);
      await expect(broadcastVariables(group, [tf.zeros([2]) as tf.Variable])).rejects.toThrow(
        /item 0 is not a tf.Variable/,
      );
      for (const wrong of [5, null, "ab", undefined, new Map([["a", variable]])]) {
        await expect(broadcastVariables(group, wrong as never)).rejects.toThrow(
          /variables must be an object or a list/,
        );
      }
      const unnamed = Object.assign(tf.variable(tf.zeros([2])), { name: 5 });
      await expect(broadcastVariables(group, [unnamed] as never)).rejects.toThrow(
        /name of item 0 must be a string, got 5/,
      );
      await group.barrier();
    });
  });
});
