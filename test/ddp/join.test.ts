import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { adam, type Joinable, type JoinOptions, join, Reducer, ShardedOptimizer, sgd } from "../../src/ddp/index.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { withMemoryGroups } from "../conformance/harness.ts";

const COUNTS = [3, 5];
const RATE = 0.125;

const parametersOf = () => COUNTS.map((count) => ({ tensor: new Float32Array(count).fill(1), shape: [count] }));

const gradientOf = (rank: number, index: number, step: number) =>
  new Float32Array(COUNTS[index]!).map((_, i) => ((rank + 2) * (step + 1) + index + i) % 9);

/** What SGD over one process gives that knows every rank's inputs: each step folds the gradients of the ranks that still have one. */
function reference(inputs: readonly number[], divideByInitialWorldSize: boolean): Float32Array[] {
  const parameters = parametersOf().map(({ tensor }) => tensor);
  for (let step = 0; step < Math.max(...inputs); step++) {
    const active = inputs.filter((count) => step < count).length;
    const share = Math.fround(1 / (divideByInitialWorldSize ? inputs.length : active));
    for (const [index, parameter] of parameters.entries()) {
      const shares = inputs.map((count, rank) =>
        step < count ? gradientOf(rank, index, step).map((value) => value * share) : new Float32Array(parameter.length),
      );
      const mean = shares.reduce((sum, part) => sum.map((value, i) => value + part[i]!));
      for (const i of parameter.keys()) parameter[i] = parameter[i]! - RATE * mean[i]!;
    }
  }
  return parameters;
}

/** Trains with a Reducer as many steps as this rank has inputs. */
async function train(group: ProcessGroup, inputs: number, options: JoinOptions, findUnusedParameters = false) {
  const parameters = parametersOf();
  const reducer = new Reducer({ group, parameters, bucketBytes: 16, firstBucketBytes: 16, findUnusedParameters });
  const body = async () => {
    for (let step = 0; step < inputs; step++) {
      reducer.prepareForBackward();
      for (const index of [1, 0]) reducer.markReady(index, gradientOf(group.rank, index, step));
      const averaged = (await reducer.finalize()) as Float32Array[];
      for (const [index, { tensor }] of parameters.entries()) {
        for (const i of tensor.keys()) tensor[i] = tensor[i]! - RATE * averaged[index]![i]!;
      }
    }
    return inputs;
  };
  expect(await join([reducer], body, options)).toBe(inputs);
  expect(reducer.loggingData().joinUnevenInputs).toBe(true);
  return parameters.map(({ tensor }) => tensor);
}

const messageOf = async (call: () => Promise<unknown>): Promise<string> => {
  try {
    await call();
  } catch (error) {
    return String(error);
  }
  return "no error";
};

describe("join()", () => {
  it("gives the parameters of one process, for drawn numbers of inputs", async () => {
    const drawn = fc.record({
      inputs: fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 4 }),
      divideByInitialWorldSize: fc.boolean(),
      findUnusedParameters: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(drawn, async ({ inputs, divideByInitialWorldSize, findUnusedParameters }) => {
        const trained = await withMemoryGroups(
          inputs.length,
          (group, rank) => train(group, inputs[rank]!, { divideByInitialWorldSize }, findUnusedParameters),
          { deterministic: true },
        );
        const expected = reference(inputs, divideByInitialWorldSize);
        for (const parameters of trained) expect(parameters).toEqual(expected);
      }),
      { numRuns: 30 },
    );
  });

  it("counts the steps outside noSync alone", async () => {
    const inputs = [2, 5, 7];
    await withMemoryGroups(
      3,
      async (group, rank) => {
        const reducer = new Reducer({ group, parameters: parametersOf() });
        const step = (number: number) => {
          reducer.prepareForBackward();
          for (const index of COUNTS.keys()) reducer.markReady(index, gradientOf(rank, index, number));
          return reducer.finalize();
        };
        await join([reducer], async () => {
          for (let number = 0; number < inputs[rank]!; number++) {
            if (number % 2 === 0) {
              await reducer.noSync(() => step(number));
              continue;
            }
            const [first] = (await step(number)) as Float32Array[];
            const sums = inputs.map((count, r) =>
              gradientOf(r, 0, number).map((value, i) =>
                number < count ? value + gradientOf(r, 0, number - 1)[i]! : 0,
              ),
            );
            const shares = sums.map((sum) => sum.map((value) => value * Math.fround(1 / 3)));
            expect(first).toEqual(shares.reduce((all, share) => all.map((value, i) => value + share[i]!)));
          }
        });
      },
      { deterministic: true },
    );
  });

  it("lets a ShardedOptimizer update the share of a rank that has joined", async () => {
    const inputs = [1, 4, 2];
    const trained = await withMemoryGroups(
      3,
      async (group, rank) => {
        const parameters = parametersOf();
        const optimizer = new ShardedOptimizer({ group, parameters, rule: sgd({ learningRate: RATE }) });
        await join([optimizer], async () => {
          for (let step = 0; step < inputs[rank]!; step++) {
            await optimizer.step(COUNTS.map((_, index) => gradientOf(rank, index, step)));
          }
        });
        expect(optimizer.iteration).toBe(4);
        return parameters.map(({ tensor }) => tensor);
      },
      { deterministic: true },
    );
    for (const parameters of trained) expect(parameters).toEqual(reference(inputs, true));
  });

  it("rejects on all ranks when the first has joined, with throwOnEarlyTermination, and the group stays whole", async () => {
    await withMemoryGroups(3, async (group, rank) => {
      const message = await messageOf(() => train(group, rank + 1, { throwOnEarlyTermination: true }));
      expect(message).toMatch(rank === 0 ? /rank 0 has no more inputs/ : /a rank has no more inputs/);
      await group.barrier();
    });
    await withMemoryGroups(2, (group) => train(group, 2, { throwOnEarlyTermination: true }));
  });

  it("ends the group when the body throws on one rank", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const reducer = new Reducer({ group, parameters: parametersOf() });
      const body = async () => {
        if (rank === 1) throw new Error("no more memory");
      };
      const message = await messageOf(() => join([reducer], body));
      expect(message).toMatch(rank === 1 ? /^Error: no more memory/ : /rank 1 aborted it: join: Error: no more memory/);
      expect(reducer.joinContext).toBeNull();
    });
  });

  it("refuses wrong arguments before anything is sent", async () => {
    await withMemoryGroups(1, async (group) => {
      const reducer = new Reducer({ group, parameters: parametersOf() });
      const other = new ShardedOptimizer({
        group: (await group.newGroup([0]))!,
        parameters: parametersOf(),
        rule: adam(),
      });
      const wrong: [unknown, unknown, RegExp][] = [
        [[], {}, /at least one/],
        [null, {}, /at least one/],
        [[{}], {}, /neither a Reducer nor/],
        [[reducer, other], {}, /different groups/],
        [[reducer], { divide: true }, /unknown option divide/],
        [[reducer], { divideByInitialWorldSize: 1 }, /must be true or false/],
      ];
      const before = group.sequence;
      for (const [joinables, options, says] of wrong) {
        expect(await messageOf(() => join(joinables as Joinable[], () => {}, options as JoinOptions))).toMatch(says);
      }
      expect(await messageOf(() => join([reducer], () => join([reducer], () => {})))).toMatch(/another join/);
      expect(group.sequence).toBe(before);
    });
  });

  it("divides the sums of several Reducers by the ranks that have inputs", async () => {
    const inputs = [1, 3, 2];
    const averages = await withMemoryGroups(
      3,
      async (group, rank) => {
        const reducers = [0, 1].map(() => new Reducer({ group, parameters: parametersOf(), bucketBytes: 16 }));
        const seen: unknown[] = [];
        const body = async () => {
          for (let step = 0; step < inputs[rank]!; step++) {
            for (const reducer of reducers) {
              reducer.prepareForBackward();
              for (const index of COUNTS.keys()) reducer.markReady(index, new Float32Array(COUNTS[index]!).fill(10));
              seen.push(...(await reducer.finalize()));
            }
          }
        };
        await join(reducers, body, { divideByInitialWorldSize: false });
        return seen as Float32Array[];
      },
      { deterministic: true },
    );
    for (const value of averages.flat().flatMap((average) => [...average])) expect(value).toBeCloseTo(10, 5);
    expect(averages.map((seen) => seen.length)).toEqual(inputs.map((count) => count * 4));
  });

  it.each<[RegExp, (a: Reducer, b: Reducer) => unknown]>([
    [/number 1 of its list begins a step when number 0 is next/, (_, b) => b.prepareForBackward()],
    [
      /number 1 of its list begins a step before that of number 0 has ended/,
      (a, b) => {
        a.prepareForBackward();
        b.prepareForBackward();
      },
    ],
    [
      /number 0 of its list begins a step when number 1 is next/,
      async (a) => {
        for (let step = 0; step < 2; step++) {
          a.prepareForBackward();
          for (const index of COUNTS.keys()) a.markReady(index);
          await a.finalize();
        }
      },
    ],
  ])("says %s, and the group is dead", async (says, body) => {
    await withMemoryGroups(2, async (group) => {
      const [a, b] = [0, 1].map(() => new Reducer({ group, parameters: parametersOf() })) as [Reducer, Reducer];
      expect(await messageOf(async () => join([a, b], () => body(a, b)))).toMatch(says);
      await expect(group.barrier()).rejects.toThrow();
    });
  });

  it("takes no comm hook with divideByInitialWorldSize: false", async () => {
    await withMemoryGroups(1, async (group) => {
      const reducer = new Reducer({ group, parameters: parametersOf() });
      reducer.registerCommHook(null, async (_, bucket) => bucket.buffer());
      const body = () => reducer.prepareForBackward();
      expect(await messageOf(() => join([reducer], body, { divideByInitialWorldSize: false }))).toMatch(/no comm hook/);
    });
  });
});
