import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { adam, ShardedOptimizer, sgd, type UpdateRule } from "../../src/ddp/index.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";
import type { Tensor } from "../../src/types.ts";
import { withMemoryGroups } from "../conformance/harness.ts";

type Floats = Float32Array | Float64Array;

const drawnValues = (seed: string, count: number, isDouble: boolean): Floats => {
  const random = new SeededRandom(1, seed);
  const values = Array.from({ length: count }, () => random.u32() / 2 ** 31 - 1);
  return isDouble ? Float64Array.from(values) : Float32Array.from(values);
};

const RULES: Record<string, () => UpdateRule<unknown>> = {
  sgd: () => sgd({ learningRate: 0.1 }) as UpdateRule<unknown>,
  "sgd with momentum": () => sgd({ learningRate: 0.1, momentum: 0.9 }) as UpdateRule<unknown>,
  "sgd of Nesterov": () => sgd({ learningRate: 0.1, momentum: 0.9, nesterov: true }) as UpdateRule<unknown>,
  adam: () => adam({ learningRate: 0.01 }) as UpdateRule<unknown>,
};

describe("ShardedOptimizer", () => {
  it.each(Object.entries(RULES))("%s gives the bits of the unsharded optimizer", async (_name, makeRule) => {
    const drawn = fc.record({
      size: fc.integer({ min: 1, max: 4 }),
      counts: fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 5 }),
      doubles: fc.array(fc.boolean(), { minLength: 5, maxLength: 5 }),
    });
    await fc.assert(
      fc.asyncProperty(drawn, async ({ size, counts, doubles }) => {
        await withMemoryGroups(
          size,
          async (group, rank) => {
            const make = () =>
              counts.map((count, i) => ({ tensor: drawnValues(`p${i}`, count, doubles[i]!), shape: [count] }));
            const [sharded, whole] = [make(), make()];
            const optimizer = new ShardedOptimizer({ group, parameters: sharded, rule: makeRule() });
            const rule = makeRule();
            const states = whole.map(({ tensor }, i) => rule.initialState(tensor.length, doubles[i]! ? "f64" : "f32"));
            for (let iteration = 1; iteration <= 3; iteration++) {
              const gradients = counts.map((count, i) => drawnValues(`g${rank} ${iteration} ${i}`, count, doubles[i]!));
              const given = gradients.map((gradient) => gradient.slice());
              await optimizer.step(gradients);
              expect(gradients).toEqual(given);
              for (const [i, { tensor }] of whole.entries()) {
                await group.allReduce(gradients[i]!, { op: "avg" });
                await rule.update({ parameters: tensor, gradients: gradients[i]!, state: states[i], iteration });
              }
            }
            expect(sharded).toEqual(whole);
          },
          { deterministic: true },
        );
      }),
      { numRuns: 15 },
    );
  });

  it("keeps the state of its own share alone", async () => {
    await withMemoryGroups(4, async (group) => {
      const counts: number[] = [];
      const rule: UpdateRule<null> = {
        initialState: (count) => {
          counts.push(count);
          return null;
        },
        update: () => {},
      };
      new ShardedOptimizer({ group, parameters: [{ tensor: new Float32Array(10), shape: [2, 5] }], rule });
      expect(counts).toEqual([3]);
    });
  });

  it("ends the group when the rule throws on one rank", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const rule: UpdateRule<null> = {
        initialState: () => null,
        update: () => {
          if (rank === 0) throw new Error("no luck");
        },
      };
      const optimizer = new ShardedOptimizer({
        group,
        parameters: [{ tensor: new Float32Array(4), shape: [4] }],
        rule,
      });
      const says = rank === 0 ? /^no luck/ : /rank 0 aborted it: the step of a ShardedOptimizer failed/;
      await expect(optimizer.step([new Float32Array(4)])).rejects.toThrow(says);
    });
  });

  it.each([sgd({ learningRate: 1 }), adam()])(
    "refuses parameters that its rule cannot update, when it is made",
    async (rule) => {
      await withMemoryGroups(1, async (group) => {
        for (const dtype of ["f16", "bf16"] as const) {
          const parameters = [{ tensor: { data: new Uint16Array(4), dtype }, shape: [4] }];
          const make = () => new ShardedOptimizer<unknown>({ group, parameters, rule: rule as UpdateRule });
          expect(make).toThrow(`a tensor of ${dtype} in host memory is not available: use f32 or f64`);
        }
        await group.barrier();
      });
    },
  );

  it("refuses wrong options and gradients before anything is sent", async () => {
    await withMemoryGroups(1, async (group) => {
      const parameters = [{ tensor: new Float32Array(4), shape: [4], name: "w" }];
      const make = (options: object) =>
        new ShardedOptimizer({ group, parameters, rule: sgd({ learningRate: 1 }), ...options });
      expect(() => make({ rule: {} })).toThrow(/rule must have initialState and update/);
      expect(() => make({ rules: 1 })).toThrow(/did you mean rule/);
      expect(() => make({ parameters: [] })).toThrow(/there are no parameters/);
      expect(() => sgd({ learningRate: -1 })).toThrow(/learningRate must be finite and not below 0/);
      expect(() => adam({ beta1: "1" } as object)).toThrow(/beta1 must be a number/);
      expect(() => adam({ beta1: 1 })).toThrow(/beta1 must be below 1, got 1/);
      expect(() => adam({ beta2: 1.5 })).toThrow(/beta2 must be below 1, got 1.5/);
      expect(() => sgd({ learningRate: 1, nesterov: 1 } as object as Parameters<typeof sgd>[0])).toThrow(
        /nesterov must be true or false/,
      );
      expect(() => adam({ beta3: 1 } as object)).toThrow(/unknown option beta3/);
      const optimizer = make({});
      const before = group.sequence;
      const wrong: [unknown, RegExp][] = [
        [[], /give a gradient for each of 1 parameters, not a list of 0/],
        [null, /give a gradient for each/],
        [[new Float32Array(3)], /gradient of parameter 0 \("w"\) has 3 elements/],
        [[new Float64Array(4)], /is of dtype f64/],
      ];
      for (const [gradients, says] of wrong) await expect(optimizer.step(gradients as Tensor[])).rejects.toThrow(says);
      const running = optimizer.step([new Float32Array(4)]);
      await expect(optimizer.step([new Float32Array(4)])).rejects.toThrow(/the step before has not ended/);
      await running;
      expect(group.sequence).toBe(before + 2);
    });
  });
});
