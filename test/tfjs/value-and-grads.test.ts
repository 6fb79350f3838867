import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { AbortedError, MismatchError } from "../../src/errors.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import * as nn from "../../src/nn/index.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";
import { type Parts, valueAndGrads } from "../../src/tfjs/index.ts";
import { endsOnRanks, onRanks } from "./ranks.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const countOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** Smooth functions of f32, so that a difference over this step tells the gradient to about 1e-3. */
const STEP = 2 ** -7;

/** Programs with a collective between parts: shapes of each rank's variables, and the loss that they make. */
interface Program {
  shapes: (rank: number, size: number) => number[][];
  loss: (group: ProcessGroup, parts: Parts, variables: readonly tf.Variable[]) => Promise<tf.Tensor>;
}

const scalar = (x: tf.Tensor) => x.square().mean().asScalar();
const X = () => tf.tensor2d([0.5, -1, 0.25, 0.75, 1, -0.5], [2, 3]);

const PROGRAMS: Record<string, Program> = {
  "a perceptron whose hidden layer is cut over the ranks": {
    shapes: (rank) => [
      [3, 2 + rank],
      [2 + rank, 2],
    ],
    loss: async (group, parts, [a, b]) => {
      const part = parts.run(() => X().matMul(a!).tanh().matMul(b!));
      const sum = await parts.collective(part, (x) => nn.allReduce(group, x));
      return parts.run((y) => scalar(y.sin()), sum);
    },
  },
  "a residual around a sum, whose input goes two ways": {
    shapes: () => [
      [2, 3],
      [3, 3],
    ],
    loss: async (group, parts, [h, w]) => {
      const input = parts.run(() => h!.tanh());
      const part = parts.run((x) => x.matMul(w!), input);
      const sum = await parts.collective(part, (x) => nn.allReduce(group, x, { op: "avg" }));
      const both = parts.run((x, y) => x.add(y), input, sum);
      return parts.run((x, y) => scalar(x.mul(y).add(x)), both, both);
    },
  },
  "two collectives, one of which changes the shape": {
    shapes: () => [[2, 2]],
    loss: async (group, parts, [w]) => {
      const columns = parts.run(() => w!.tanh());
      const all = await parts.collective(columns, (x) => nn.allGatherBase(group, x), [2 * group.size, 2]);
      const products = parts.run((x) => x.matMul(x, true, false), all);
      const root = await parts.collective(products, (x) => nn.broadcast(group, x, { root: group.size - 1 }));
      return parts.run((x, y) => scalar(x.add(y.cos())), products, root);
    },
  },
  "products, of which no rank uses its own alone": {
    shapes: () => [[3]],
    loss: async (group, parts, [w]) => {
      const x = parts.run(() => w!.sin().add(1.5));
      return parts.run((y) => scalar(y), await parts.collective(x, (t) => nn.allReduce(group, t, { op: "product" })));
    },
  },
  "a loss that rank 0 alone has of the sum": {
    shapes: () => [[2]],
    loss: async (group, parts, [w]) => {
      const x = parts.run(() => w!.exp());
      const sum = await parts.collective(x, (t) => nn.allReduce(group, t));
      return group.rank === 0 ? parts.run((y) => scalar(y), sum) : parts.run((y) => scalar(y.sub(1)), x);
    },
  },
};

/** The sum of all ranks' losses at `values`, and each rank's gradients. */
async function evaluate({ shapes, loss }: Program, values: readonly number[][][], size: number) {
  const results = await onRanks(size, async (group) => {
    const own = shapes(group.rank, size).map((shape, i) => tf.variable(tf.tensor(values[group.rank]![i]!, shape)));
    const { value, grads } = await valueAndGrads(group, own, (parts) => loss(group, parts, own));
    expect(grads.map(({ name }) => name)).toEqual(own.map(({ name }) => name));
    const list = grads.map(({ tensor }) => Array.from(tensor.dataSync()));
    const result = { value: value.dataSync()[0]!, grads: list };
    tf.dispose([own, value, grads.map(({ tensor }) => tensor)]);
    return result;
  });
  return { sum: results.reduce((sum, { value }) => sum + value, 0), grads: results.map(({ grads }) => grads) };
}

describe("valueAndGrads()", () => {
  it.each(Object.entries(PROGRAMS))("has the gradients of finite differences: %s", async (_name, program) => {
    const drawn = fc.record({ size: fc.integer({ min: 1, max: 3 }), seed: fc.nat() });
    await fc.assert(
      fc.asyncProperty(drawn, async ({ size, seed }) => {
        const random = new SeededRandom(seed);
        const values = Array.from({ length: size }, (_, rank) =>
          program
            .shapes(rank, size)
            .map((shape) => Array.from({ length: countOf(shape) }, () => (random.below(256) - 128) / 128)),
        );
        const { grads } = await evaluate(program, values, size);
        for (const [rank, list] of values.entries()) {
          const i = random.below(list.length);
          const at = random.below(list[i]!.length);
          const moved = async (by: number) => {
            const copy = structuredClone(values) as number[][][];
            copy[rank]![i]![at]! += by;
            return (await evaluate(program, copy, size)).sum;
          };
          const difference = ((await moved(STEP)) - (await moved(-STEP))) / (2 * STEP);
          const gradient = grads[rank]![i]![at]!;
          expect(Math.abs(gradient - difference)).toBeLessThan(2e-3 * Math.max(1, Math.abs(difference)));
        }
      }),
      { numRuns: 6 },
    );
  });

  it("computes what one process does with tf.variableGrads, and trains with tf.js's own optimizers", async () => {
    const [w1, w2] = [
      [0.5, -0.25, 0.75, 1, -1, 0.5, 0.25, -0.5, 0.125, 0.875, -0.75, 0.375],
      [1, -0.5, 0.25, 0.75],
    ];
    const wanted = tf.tensor2d([1, -1], [2, 1]);
    const alone = [tf.variable(tf.tensor2d(w1, [3, 4])), tf.variable(tf.tensor2d(w2, [4, 1]))] as const;
    const optimizer = tf.train.adam(0.1);
    for (let step = 0; step < 5; step++) {
      optimizer.minimize(
        () => tf.losses.meanSquaredError(wanted, X().matMul(alone[0]).relu().matMul(alone[1])).asScalar(),
        false,
        [...alone],
      );
    }
    const shards = await onRanks(2, async (group) => {
      const start = 2 * group.rank;
      const a = tf.variable(tf.tensor2d(w1, [3, 4]).slice([0, start], [3, 2]));
      const b = tf.variable(tf.tensor2d(w2, [4, 1]).slice([start, 0], [2, 1]));
      const own = tf.train.adam(0.1);
      for (let step = 0; step < 5; step++) {
        const { value, grads } = await valueAndGrads(group, [a, b], async (parts) => {
          const part = parts.run(() => X().matMul(a).relu().matMul(b));
          const y = await parts.collective(part, (x) => nn.allReduce(group, x));
          // Both ranks compute the same loss, which counts once.
          return parts.run((x) => tf.losses.meanSquaredError(wanted, x).asScalar().div(group.size), y);
        });
        own.applyGradients(grads);
        tf.dispose([value, grads.map(({ tensor }) => tensor)]);
      }
      return [Array.from(a.dataSync()), Array.from(b.dataSync())];
    });
    const a = tf.concat(
      shards.map(([part]) => tf.tensor2d(part!, [3, 2])),
      1,
    );
    expect(a.sub(alone[0]).abs().max().dataSync()[0]).toBeLessThan(1e-5);
    const b = tf.tensor2d(
      shards.flatMap(([, part]) => part!),
      [4, 1],
    );
    expect(b.sub(alone[1]).abs().max().dataSync()[0]).toBeLessThan(1e-5);
  });

  it("gives zeros for a variable that the value does not depend on, and frees all else", async () => {
    await onRanks(2, async (group) => {
      const [used, unused] = [tf.variable(tf.ones([2])), tf.variable(tf.ones([3]))];
      await group.barrier();
      const before = tf.memory().numTensors;
      await group.barrier();
      for (let i = 0; i < 3; i++) {
        const { value, grads } = await valueAndGrads(group, [used, unused], async (parts) => {
          const x = parts.run(() => used.mul(2));
          const y = await parts.collective(x, (t) => nn.allReduce(group, t));
          await parts.collective(x, (t) => nn.allReduce(group, t)); // nobody uses it
          return parts.run((t) => t.sum(), y);
        });
        expect(value.dataSync()[0]).toBe(8);
        expect(grads.map(({ tensor }) => Array.from(tensor.dataSync()))).toEqual([
          [4, 4],
          [0, 0, 0],
        ]);
        tf.dispose([value, grads.map(({ tensor }) => tensor)]);
      }
      await group.barrier();
      expect(tf.memory().numTensors).toBe(before);
    });
  });

  it("ends the group where a part throws on one rank, and frees all", async () => {
    const variables = [tf.variable(tf.ones([2])), tf.variable(tf.ones([2]))];
    const before = tf.memory().numTensors;
    const ends = await endsOnRanks(2, (group) =>
      valueAndGrads(group, [variables[group.rank]!], async (parts) => {
        const x = parts.run(() => variables[group.rank]!.mul(2));
        if (group.rank === 1) parts.run((y) => y.matMul(tf.ones([3])), x);
        return parts.run((y) => y.sum(), await parts.collective(x, (t) => nn.allReduce(group, t)));
      }),
    );
    expect(ends.map((end) => end.status)).toEqual(["rejected", "rejected"]);
    expect(ends[0]).toMatchObject({ reason: expect.any(AbortedError) });
    expect(tf.memory().numTensors).toBe(before);
  });

  const wrong: Record<string, [unknown, RegExp]> = {
    "no list": [null, /variables must be a list of tf.Variables/],
    "an empty list": [[], /variables must be a list of tf.Variables/],
    "a tensor that is no variable": [[() => tf.ones([1])], /variables must be a list of tf.Variables/],
  };
  it.each(Object.entries(wrong))("refuses %s, and the group goes on", async (_name, [given, says]) => {
    await onRanks(2, async (group) => {
      const variable = tf.variable(tf.ones([1]));
      const program = async (parts: Parts) => {
        const x = parts.run(() => variable.mul(2));
        return parts.run((y) => y.sum(), await parts.collective(x, (t) => nn.allReduce(group, t)));
      };
      const list = Array.isArray(given) ? given.map((make) => make()) : given;
      const call = valueAndGrads(group, (group.rank === 1 ? list : [variable]) as tf.Variable[], program);
      if (group.rank === 1) await expect(call).rejects.toThrow(says);
      else await expect(call).rejects.toBeInstanceOf(MismatchError);
      // The call by which rank 1 told it.
      if (group.rank === 1) await expect(group.allReduce(new Float32Array(1))).rejects.toBeInstanceOf(MismatchError);
      await group.allReduce(new Float32Array(1));
    });
  });

  const faulty: Record<string, [(parts: Parts, group: ProcessGroup, v: tf.Variable) => Promise<tf.Tensor>, RegExp]> = {
    "a part that gives a promise": [
      async (parts) => parts.run((async () => tf.ones([1])) as unknown as () => tf.Tensor),
      /a part must give one tf.Tensor/,
    ],
    "an int32 tensor in a collective": [
      (parts, group) =>
        parts.collective(
          parts.run(() => tf.ones([1], "int32")),
          (x) => nn.allReduce(group, x),
        ),
      /takes a float32 tf.Tensor, got int32/,
    ],
    "a shape that does not fit": [
      (parts, group, v) =>
        parts.collective(
          parts.run(() => v.mul(1)),
          (x) => nn.allReduce(group, x),
          [3],
        ),
      /has 1 elements, and the shape \[3\] has 3/,
    ],
    "a value that no part gave": [
      async () => tf.ones([1]),
      /must give a tensor that one of its parts or collectives gave/,
    ],
  };
  it.each(Object.entries(faulty))("rejects %s", async (_name, [program, says]) => {
    const ends = await endsOnRanks(2, async (group) => {
      const variable = tf.variable(tf.ones([1]));
      await valueAndGrads(group, [variable], (parts) => program(parts, group, variable));
    });
    for (const end of ends) expect(end).toMatchObject({ status: "rejected" });
    expect(ends.map((end) => String((end as PromiseRejectedResult).reason)).join()).toMatch(says);
  });
});
