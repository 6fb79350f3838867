import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { MismatchError } from "../../src/errors.ts";
import { broadcastVariables } from "../../src/tfjs/index.ts";
import { onRanks } from "./ranks.ts";

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

  it("rejects on every rank where the lists differ, and refuses wrong arguments", async () => {
    await onRanks(2, async (group) => {
      const variable = tf.variable(tf.zeros([2 + group.rank]));
      const failed = broadcastVariables(group, [variable]);
      await expect(failed).rejects.toBeInstanceOf(MismatchError);
      await expect(failed).rejects.toThrow(/variable 0 of rank 1 is \d+, float32 \[3\], that of rank 0/);
      await expect(broadcastVariables(group, [variable], { root: 2 })).rejects.toThrow(RangeError);
      await expect(broadcastVariables(group, [variable], { src: 1 } as object)).rejects.toThrow(/did you mean root/);
      await expect(broadcastVariables(group, [tf.zeros([2]) as tf.Variable])).rejects.toThrow(
        /item 0 is not a tf.Variable/,
      );
      await group.barrier();
    });
  });
});
