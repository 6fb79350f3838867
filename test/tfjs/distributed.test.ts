import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { AbortedError, MismatchError, TimeoutError } from "../../src/errors.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { type AverageOptions, distributed } from "../../src/tfjs/index.ts";
import { endsOnRanks, onRanks } from "./ranks.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const OPTIMIZERS: Readonly<Record<string, () => tf.Optimizer>> = {
  sgd: () => tf.train.sgd(0.1),
  momentum: () => tf.train.momentum(0.1, 0.9),
  adagrad: () => tf.train.adagrad(0.1),
  adadelta: () => tf.train.adadelta(0.1),
  adam: () => tf.train.adam(0.05),
  adamax: () => tf.train.adamax(0.05),
  rmsprop: () => tf.train.rmsprop(0.01, 0.9, 0.5, 1e-7, true),
};

const [INPUTS, HIDDEN, ROWS] = [5, 7, 4];

/** A number for each place, without a random generator. */
const wave = (count: number, seed: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(seed + 1.7 * i));

/** Rank `rank`'s samples. */
const shard = (rank: number) => ({
  x: tf.tensor2d(wave(ROWS * INPUTS, 10 + rank), [ROWS, INPUTS]),
  y: tf.tensor2d(wave(ROWS, 50 + rank), [ROWS, 1]),
});

/** The variables of a small network, with the same values and the same kind of names in each. */
function network() {
  return [
    tf.variable(tf.tensor2d(wave(INPUTS * HIDDEN, 1), [INPUTS, HIDDEN])),
    tf.variable(tf.tensor1d(wave(HIDDEN, 2))),
    tf.variable(tf.tensor2d(wave(HIDDEN, 3), [HIDDEN, 1])),
    tf.variable(tf.scalar(0.5)),
  ] as const;
}

type Network = ReturnType<typeof network>;

function loss([w, b, v, c]: Network, { x, y }: ReturnType<typeof shard>): tf.Scalar {
  return x.matMul(w).add(b).tanh().matMul(v).add(c).sub(y).square().mean();
}

const valuesOf = (variables: Network) => variables.map((variable) => Array.from(variable.dataSync()));
const flatten = (values: number[][]) => Float32Array.from(values.flat());

/** `steps` steps of one rank; the values after them. */
async function train(group: ProcessGroup, make: () => tf.Optimizer, steps: number, options: AverageOptions = {}) {
  const variables = network();
  const optimizer = distributed(make(), group, options);
  const samples = shard(group.rank);
  for (let i = 0; i < steps; i++) {
    optimizer.minimize(() => loss(variables, samples), false, [...variables]);
    await optimizer.settled();
  }
  const values = valuesOf(variables);
  tf.dispose([...variables, samples]);
  optimizer.dispose();
  return values;
}

describe.each(Object.keys(OPTIMIZERS))("distributed(tf.train.%s)", (name) => {
  const make = OPTIMIZERS[name]!;

  it("gives on every rank the bits of one process that folds the gradients of all shards in rank order", async () => {
    const [size, steps] = [3, 5];
    const ranks = await onRanks(size, (group) => train(group, make, steps), { deterministic: true });

    const variables = network();
    const optimizer = make();
    for (let i = 0; i < steps; i++) {
      const grads = Array.from(
        { length: size },
        (_, rank) => tf.variableGrads(() => loss(variables, shard(rank)), [...variables]).grads,
      );
      const folded = variables.map(({ name, shape }) => {
        const scaled = grads.map((grad) => grad[name]!.dataSync().map((x) => x * Math.fround(1 / size)));
        const sum = scaled.reduce((a, b) => a.map((x, k) => x + b[k]!));
        return { name, tensor: tf.tensor(sum, shape) };
      });
      optimizer.applyGradients(folded);
    }
    for (const rank of ranks) expect(rank).toEqual(valuesOf(variables));
  });

  it("follows the full batch of one process", async () => {
    const [size, steps] = [2, 10];
    const [first] = await onRanks(size, (group) => train(group, make, steps));
    const variables = network();
    const optimizer = make();
    const all = {
      x: tf.concat([shard(0).x, shard(1).x]) as tf.Tensor2D,
      y: tf.concat([shard(0).y, shard(1).y]) as tf.Tensor2D,
    };
    for (let i = 0; i < steps; i++) optimizer.minimize(() => loss(variables, all), false, [...variables]);
    const alone = flatten(valuesOf(variables));
    const distance = Math.max(...flatten(first!).map((x, i) => Math.abs(x - alone[i]!)));
    expect(distance).toBeLessThan(1e-5);
  });
});

describe("distributed()", () => {
  it("keeps the number of tensors constant over 200 steps, and frees what a failed step made", async () => {
    const counts = await onRanks(2, async (group) => {
      const variables = network();
      const optimizer = distributed(tf.train.adam(), group, { bucketBytes: 64 });
      const samples = shard(group.rank);
      const seen = new Set<number>();
      for (let i = 0; i < 200; i++) {
        optimizer.minimize(() => loss(variables, samples), true, [...variables])?.dispose();
        await optimizer.settled();
        await group.barrier();
        if (i > 0) seen.add(tf.memory().numTensors);
        await group.barrier();
      }
      const before = tf.memory().numTensors;
      await group.barrier();
      // Rank 1 gives fewer variables: a mismatch, after which the group goes on.
      optimizer.minimize(() => loss(variables, samples), false, variables.slice(group.rank));
      await expect(optimizer.settled()).rejects.toThrow(MismatchError);
      await group.barrier();
      expect(tf.memory().numTensors).toBe(before);
      await group.barrier();
      optimizer.minimize(() => loss(variables, samples), false, [...variables]);
      await optimizer.settled();
      return seen.size;
    });
    expect(counts).toEqual([1, 1]);
  });

  it("goes into model.compile, and trains by model.fit with settled() as a callback", async () => {
    const makeModel = (optimizer: tf.Optimizer) => {
      const model = tf.sequential({
        layers: [
          tf.layers.dense({ units: HIDDEN, activation: "tanh", inputShape: [INPUTS], kernelInitializer: "ones" }),
          tf.layers.dense({ units: 1, kernelInitializer: "ones" }),
        ],
      });
      model.compile({ optimizer, loss: "meanSquaredError" });
      return model;
    };
    const weightsOf = (model: tf.LayersModel) => model.getWeights().map((weight) => Array.from(weight.dataSync()));
    const ranks = await onRanks(2, async (group) => {
      const optimizer = distributed(tf.train.adam(0.01), group);
      const model = makeModel(optimizer);
      const { x, y } = shard(group.rank);
      await model.fit(x, y, {
        ...{ epochs: 5, batchSize: ROWS, verbose: 0, shuffle: false },
        callbacks: { onBatchEnd: () => optimizer.settled() },
      });
      return weightsOf(model);
    });
    const alone = makeModel(tf.train.adam(0.01));
    const all = { x: tf.concat([shard(0).x, shard(1).x]), y: tf.concat([shard(0).y, shard(1).y]) };
    await alone.fit(all.x, all.y, { epochs: 5, batchSize: 2 * ROWS, verbose: 0, shuffle: false });
    expect(ranks[0]).toEqual(ranks[1]);
    const expected = flatten(weightsOf(alone));
    const distance = Math.max(...flatten(ranks[0]!).map((x, i) => Math.abs(x - expected[i]!)));
    expect(distance).toBeLessThan(1e-5);
  });

  it("trains by model.trainOnBatch, awaited behind it", async () => {
    const weights = await onRanks(2, async (group) => {
      const optimizer = distributed(tf.train.sgd(1), group);
      const model = tf.sequential({
        layers: [tf.layers.dense({ units: 1, useBias: false, inputShape: [1], kernelInitializer: "zeros" })],
      });
      model.compile({ optimizer, loss: "meanSquaredError" });
      await model.trainOnBatch(tf.tensor2d([[1]]), tf.tensor2d([[group.rank]]));
      await optimizer.settled();
      return model.getWeights()[0]!.dataSync()[0];
    });
    // The gradients are 0 and -2.
    expect(weights).toEqual([1, 1]);
  });

  it("averages what computeGradients gives when it is applied, by name and as a list", async () => {
    const values = await onRanks(2, async (group) => {
      const [a, b] = [tf.variable(tf.scalar(1)), tf.variable(tf.scalar(1))];
      const optimizer = distributed(tf.train.sgd(1), group);
      const { value, grads } = optimizer.computeGradients(
        () =>
          a
            .mul(group.rank + 1)
            .add(b.mul(10))
            .asScalar(),
        [a, b],
      );
      optimizer.applyGradients(grads);
      tf.dispose([value, grads]);
      await optimizer.settled();
      optimizer.applyGradients([{ name: b.name, tensor: tf.scalar(group.rank) }]);
      await optimizer.settled();
      return [a.dataSync()[0], b.dataSync()[0]];
    });
    expect(values).toEqual([
      [-0.5, -9.5],
      [-0.5, -9.5],
    ]);
  });

  it("aborts the group when the loss throws: the other ranks reject within the step", async () => {
    const ends = await endsOnRanks(3, async (group) => {
      const variables = network();
      const optimizer = distributed(tf.train.sgd(0.1), group);
      const samples = shard(group.rank);
      for (let i = 0; i < 3; i++) {
        optimizer.minimize(
          () => {
            if (i === 1 && group.rank === 2) throw new Error("no such sample");
            return loss(variables, samples);
          },
          false,
          [...variables],
        );
        await optimizer.settled();
      }
    });
    const reasons = ends.map((end) => (end.status === "rejected" ? end.reason : null));
    expect(reasons[2]).toMatchObject({ message: "no such sample" });
    for (const reason of reasons.slice(0, 2)) {
      expect(reason).toBeInstanceOf(AbortedError);
      expect(String(reason)).toMatch(/rank 2 aborted it.*no such sample/);
    }
  });

  it("refuses a step before the last one has ended, though settled() was called", async () => {
    await onRanks(2, async (group) => {
      const variable = tf.variable(tf.scalar(1));
      const optimizer = distributed(tf.train.sgd(1), group);
      const step = () => optimizer.applyGradients([{ name: variable.name, tensor: tf.scalar(group.rank) }]);
      step();
      const settled = optimizer.settled();
      expect(step).toThrow(/await optimizer.settled\(\) after each step/);
      await settled;
      expect(variable.dataSync()[0]).toBe(0.5);
      // Both ranks have refused one call, and go on alike.
      step();
      await optimizer.settled();
      expect(variable.dataSync()[0]).toBe(0);
    });
  });

  it("tells the other ranks of a step with wrong gradients", async () => {
    await onRanks(2, async (group) => {
      const variable = tf.variable(tf.scalar(1));
      const optimizer = distributed(tf.train.sgd(1), group);
      const refused = () => expect(() => optimizer.applyGradients({ a: 1 as unknown as tf.Tensor })).toThrow(TypeError);
      if (group.rank === 1) refused();
      optimizer.applyGradients([{ name: variable.name, tensor: tf.scalar(1) }]);
      await expect(optimizer.settled()).rejects.toBeInstanceOf(MismatchError);
      if (group.rank === 0) refused();
      expect(variable.dataSync()[0]).toBe(1);
    });
  });

  it.each([true, false])("reports the error of a step once, unless settled() has told it: %s", async (isAsked) => {
    const printed = vi.spyOn(console, "error").mockImplementation(() => {});
    try {
      await endsOnRanks(1, async (group) => {
        const variable = tf.variable(tf.scalar(1));
        const inner = tf.train.sgd(1);
        inner.applyGradients = () => {
          throw new Error("no such slot");
        };
        const optimizer = distributed(inner, group);
        const step = () => optimizer.applyGradients([{ name: variable.name, tensor: tf.scalar(1) }]);
        step();
        if (!isAsked) return vi.waitFor(() => expect(printed).toHaveBeenCalled());
        await expect(optimizer.settled()).rejects.toThrow("no such slot");
        step();
        await expect(optimizer.settled()).rejects.toThrow(AbortedError);
      });
      const lines = printed.mock.calls.filter(([text]) => String(text).includes("nobody awaited"));
      expect(lines.map(([, error]) => (error as Error).message)).toEqual(isAsked ? [] : ["no such slot"]);
    } finally {
      printed.mockRestore();
    }
  });

  it("aborts the group when the loss throws an error of this library that no other rank has", async () => {
    const ends = await endsOnRanks(2, async (group) => {
      const variables = network();
      const optimizer = distributed(tf.train.sgd(0.1), group);
      optimizer.minimize(() => {
        if (group.rank === 1) throw new TimeoutError("the samples did not come");
        return loss(variables, shard(0));
      });
      await optimizer.settled();
    });
    expect(ends[0]).toMatchObject({ reason: expect.any(AbortedError) });
    expect(String((ends[0] as PromiseRejectedResult).reason)).toMatch(/rank 1 aborted it.*samples did not come/);
  });

  it("refuses a step before the last one is settled, wrong options and what is no optimizer", async () => {
    await onRanks(1, async (group) => {
      const variables = network();
      const optimizer = distributed(tf.train.sgd(0.1), group);
      const samples = shard(0);
      const step = () => optimizer.minimize(() => loss(variables, samples), false, [...variables]);
      step();
      expect(step).toThrow(/await optimizer.settled\(\) after each step/);
      await optimizer.settled();
      step();
      await optimizer.settled();

      expect(() => distributed(tf.train.sgd(1), group, { bucketSize: 3 } as object)).toThrow(/bucketBytes/);
      expect(() => distributed(tf.train.sgd(1), group, { bucketBytes: 0 })).toThrow(RangeError);
      expect(() => distributed({} as tf.Optimizer, group)).toThrow(/must be a tf.Optimizer/);
      expect(() => distributed(tf.train.sgd(1), group, { op: "sum", commHook: async (b) => b.buffer() })).toThrow(
        /exclude each other/,
      );
    });
  });
});
