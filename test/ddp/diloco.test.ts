import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DiLoCo, type DiLoCoOptions, Int8State, int8Hook, type NamedTensor } from "../../src/ddp/index.ts";
import { MismatchError } from "../../src/errors.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";
import { withMemoryGroups } from "../conformance/harness.ts";

const COUNTS = [3, 0, 6];
const f = Math.fround;

/** A change of the parameters by local training, by rank and step. */
const localChange = (rank: number, step: number, index: number) => {
  const random = new SeededRandom(3, rank, step, index);
  return new Float32Array(COUNTS[index]!).map(() => random.u32() / 2 ** 32 - 0.5);
};

const start = () => COUNTS.map((count, i) => new Float32Array(count).fill(i + 1));
const shaped = (tensors: readonly Float32Array[]) => tensors.map((tensor) => ({ tensor, shape: [tensor.length] }));

/** Algorithm 1 of the paper with Nesterov momentum, over all ranks' parameters at once, each operation rounded to f32. */
function reference(size: number, steps: number, every: number, rate: number, momentum: number): Float32Array[] {
  let shared = start();
  const velocity = start().map((tensor) => tensor.fill(0));
  for (let outer = 0; outer < Math.floor(steps / every); outer++) {
    const locals = Array.from({ length: size }, (_, rank) => {
      const local = shared.map((tensor) => tensor.slice());
      for (let step = outer * every; step < (outer + 1) * every; step++) {
        for (const [i, tensor] of local.entries()) {
          for (const [k, change] of localChange(rank, step, i).entries()) tensor[k] = tensor[k]! + change;
        }
      }
      return local;
    });
    shared = shared.map((tensor, i) =>
      tensor.map((value, k) => {
        const shares = locals.map((local) => f(f(value - local[i]![k]!) * f(1 / size)));
        const mean = shares.reduce((sum, share) => f(sum + share));
        velocity[i]![k] = f(f(velocity[i]![k]! * f(momentum)) + mean);
        const step = f(mean + f(velocity[i]![k]! * f(momentum)));
        return f(value - f(step * f(rate)));
      }),
    );
  }
  return shared;
}

describe("DiLoCo", () => {
  it("gives the bits of a naive reference, for drawn ranks, intervals, rates and momenta", async () => {
    const drawn = fc.record({
      size: fc.integer({ min: 1, max: 4 }),
      localSteps: fc.integer({ min: 1, max: 3 }),
      outerLearningRate: fc.double({ min: 0, max: 1, noNaN: true }),
      outerMomentum: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    await fc.assert(
      fc.asyncProperty(drawn, async ({ size, ...options }) => {
        const { localSteps, outerLearningRate, outerMomentum } = options;
        const trained = await withMemoryGroups(
          size,
          async (group, rank) => {
            const parameters = start();
            const diloco = new DiLoCo({ group, parameters: shaped(parameters), ...options });
            for (let step = 0; step < 6; step++) {
              for (const [i, tensor] of parameters.entries()) {
                for (const [k, change] of localChange(rank, step, i).entries()) tensor[k] = tensor[k]! + change;
              }
              const before = group.sequence;
              const isOuter = (step + 1) % localSteps === 0;
              expect(await diloco.step()).toBe(isOuter);
              expect(group.sequence - before).toBe(isOuter ? 1 : 0);
            }
            return parameters;
          },
          { deterministic: true },
        );
        const expected = reference(size, 6, localSteps, outerLearningRate, outerMomentum);
        for (const parameters of trained) expect(parameters).toEqual(expected);
      }),
      { numRuns: 30 },
    );
  });

  it("averages the parameters with a rate of 1 and no momentum, each dtype by itself", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const single = Float32Array.of(1, 2);
      const double = Float64Array.of(3);
      const parameters: NamedTensor[] = [
        { tensor: single, shape: [2] },
        { tensor: double, shape: [] },
      ];
      const diloco = new DiLoCo({ group, parameters, localSteps: 1, outerLearningRate: 1, outerMomentum: 0 });
      single.fill(rank * 4);
      double.fill(rank * 8);
      await diloco.step();
      expect(single).toEqual(Float32Array.of(2, 2));
      expect(double).toEqual(Float64Array.of(4));
    });
  });

  it("takes a comm hook that compresses the pseudo-gradients, and all ranks hold the same bits", async () => {
    const trained = await withMemoryGroups(3, async (group, rank) => {
      const tensor = new Float32Array(600);
      const diloco = new DiLoCo({ group, parameters: [{ tensor, shape: [600] }], localSteps: 2, outerMomentum: 0 });
      diloco.registerCommHook(new Int8State({ group }), int8Hook);
      expect(() => diloco.registerCommHook(new Int8State({ group }), int8Hook)).toThrow(/a hook is registered already/);
      for (let step = 0; step < 100; step++) {
        for (const i of tensor.keys()) tensor[i] = tensor[i]! + 0.1 * ((i % 7) + rank - tensor[i]!);
        await diloco.step();
      }
      return tensor;
    });
    expect(trained[1]).toEqual(trained[0]);
    expect(trained[2]).toEqual(trained[0]);
    // Each rank pulls towards i % 7 + rank; together they come to the mean of that.
    for (const [i, value] of trained[0]!.entries()) expect(Math.abs(value - ((i % 7) + 1))).toBeLessThan(0.05);
  });

  it("leaves the parameters as they are when the ranks differ, and ends the group when a hook throws", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const tensor = new Float32Array(2 + rank);
      const diloco = new DiLoCo({ group, parameters: [{ tensor, shape: [2 + rank] }], localSteps: 1 });
      tensor.fill(5);
      await expect(diloco.step()).rejects.toBeInstanceOf(MismatchError);
      expect(tensor).toEqual(new Float32Array(2 + rank).fill(5));
      const other = new DiLoCo({ group, parameters: [{ tensor: new Float32Array(2), shape: [2] }], localSteps: 1 });
      other.registerCommHook(null, async (_, bucket) => {
        if (rank === 0) throw new Error("no luck");
        await group.allReduce(bucket.buffer());
        return bucket.buffer();
      });
      const says = rank === 0 ? /^no luck/ : /rank 0 aborted it: the outer step of DiLoCo failed: Error: no luck/;
      await expect(other.step()).rejects.toThrow(says);
    });
  });

  it("refuses wrong options, and a step before the last has ended", async () => {
    await withMemoryGroups(1, async (group) => {
      const parameters = shaped(start());
      const wrong: [object, RegExp][] = [
        [{ localSteps: 0 }, /localSteps must be a whole number from 1 on/],
        [{ outerMomentum: -1 }, /outerMomentum must be finite and not below 0/],
        [{ outerLearningRate: "1" }, /outerLearningRate must be a number/],
        [{ outerLearningrate: 1 }, /did you mean outerLearningRate/],
        [{ parameters: [] }, /there are no parameters/],
        [{ group: {} }, /group must be/],
      ];
      for (const [options, says] of wrong) {
        expect(() => new DiLoCo({ group, parameters, ...options } as DiLoCoOptions)).toThrow(says);
      }
      const diloco = new DiLoCo({ group, parameters, localSteps: 1 });
      const running = diloco.step();
      await expect(diloco.step()).rejects.toThrow(/the step before has not ended/);
      await running;
    });
  });
});
