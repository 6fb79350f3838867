/**
 * What depends on time on one rank alone must not show in any result: two Reducers, optimizers or hooks beside each other give what each
 * gives alone; and state that all ranks share changes on all of them or on none.
 */
import { describe, expect, it } from "vitest";
import { fp16CompressHook, Int8State, int8Hook, join, Reducer, ShardedOptimizer, sgd } from "../../src/ddp/index.ts";
import { MismatchError } from "../../src/errors.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";
import { withGroup, withMemoryGroups } from "../conformance/harness.ts";

async function pause(turns: number): Promise<void> {
  for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
}

const HOOKS: Record<string, (group: ProcessGroup, reducer: Reducer) => void> = {
  "no hook": () => {},
  "a hook of one call": (group, reducer) => reducer.registerCommHook(group, fp16CompressHook),
  "a hook of several calls": (group, reducer) => reducer.registerCommHook(new Int8State({ group }), int8Hook),
  "a hook of plain calls": (group, reducer) =>
    reducer.registerCommHook(null, async (_, bucket) => {
      await pause(group.rank * 3);
      await group.allReduce(bucket.buffer());
      await pause(2 - group.rank);
      const tensor = bucket.buffer() as Float32Array;
      await group.allReduce(new Float32Array(tensor.length));
      return tensor.map((x) => x / group.size);
    }),
};

/** A Reducer of two parameters, each in a bucket of its own. */
function reducerOf(group: ProcessGroup, hook: string): Reducer {
  const parameters = [0, 1].map(() => ({ tensor: new Float32Array(4), shape: [4] }));
  const reducer = new Reducer({ group, parameters, bucketBytes: 16 });
  HOOKS[hook]?.(group, reducer);
  return reducer;
}

describe.each(["memory", "websocket"] as const)("over %s", (transport) => {
  const cases = Object.keys(HOOKS).flatMap((hook) => [0, 1].map((seed) => [hook, seed] as const));

  it.each(cases)("two Reducers with %s have their own averages and orders (seed %i)", async (hook, seed) => {
    await withGroup(transport, 2, async (group, rank) => {
      const drawn = new SeededRandom(seed, `rank ${rank}`);
      const reducers = [reducerOf(group, hook), reducerOf(group, hook)];
      for (let step = 0; step < 3; step++) {
        const finalized: Promise<unknown>[] = [];
        for (const [i, reducer] of reducers.entries()) {
          reducer.prepareForBackward();
          for (const index of i === 0 ? [0, 1] : [1, 0]) {
            await pause(drawn.below(4));
            reducer.markReady(index, new Float32Array(4).fill(16 * (i + 1) * (index + 1)));
          }
        }
        await pause(drawn.below(6));
        for (const [i, reducer] of reducers.entries()) {
          const expected = [16 * (i + 1), 32 * (i + 1)];
          finalized.push(
            reducer.finalize().then((averages) => {
              expect(averages.map((average) => Math.round((average as Float32Array)[3]!))).toEqual(expected);
            }),
          );
        }
        await Promise.all(finalized);
        expect(reducers.map(({ bucketIndices }) => bucketIndices)).toEqual([
          [[0], [1]],
          [[1], [0]],
        ]);
      }
      await group.barrier();
    });
  });

  it("two optimizers whose rules take their time hold the same parameters on all ranks", async () => {
    await withGroup(transport, 2, async (group, rank) => {
      const make = (value: number, turns: number) => {
        const tensor = Float32Array.of(value, value);
        const rule = { initialState: () => 0, update: () => pause(turns) };
        const optimizer = new ShardedOptimizer({ group, parameters: [{ tensor, shape: [2] }], rule });
        return { tensor, step: () => optimizer.step([new Float32Array(2)]) };
      };
      const [a, b] = [make(1, 9 * rank), make(2, 9 - 9 * rank)];
      await Promise.all([a.step(), b.step()]);
      expect([a.tensor, b.tensor]).toEqual([Float32Array.of(1, 1), Float32Array.of(2, 2)]);
    });
  });

  it.each([3, 4, 5])("all of %i ranks rebuild their buckets in one step, or none", async (size) => {
    await withGroup(transport, size, async (group, rank) => {
      const reducer = reducerOf(group, "no hook");
      const orders: unknown[] = [];
      for (let step = 0; step < 3; step++) {
        reducer.prepareForBackward();
        for (const index of [0, 1]) reducer.markReady(index, new Float32Array(4).fill(index + 1));
        if (rank === size - 1 && step === 0) {
          await expect(group.allReduce(new Float32Array(1), { op: "typo" as "sum" })).rejects.toThrow(TypeError);
        }
        const averages = reducer.finalize();
        if (step === 0) await expect(averages).rejects.toBeInstanceOf(MismatchError);
        else expect((await averages).map((average) => (average as Float32Array)[0])).toEqual([1, 2]);
        orders.push(reducer.bucketIndices);
      }
      expect(orders).toEqual([
        [[1], [0]],
        [[0], [1]],
        [[0], [1]],
      ]);
    });
  });
});

describe("a Reducer", () => {
  it("reduces again when all noSync that overlap have ended", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const reducer = reducerOf(group, "no hook");
      const first = reducer.noSync(() => pause(1));
      const second = reducer.noSync(() => pause(9));
      await first;
      const { sequence } = group;
      const mark = () => {
        reducer.prepareForBackward();
        for (const index of [0, 1]) reducer.markReady(index, new Float32Array(4).fill(rank));
        return reducer.finalize();
      };
      await mark();
      expect(group.sequence).toBe(sequence);
      await second;
      expect((await mark())[0]).toEqual(new Float32Array(4).fill(1));
    });
  });

  it("refuses a gradient in memory that gets the average of another one, unless it gives views", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const scratch = new Float32Array(4);
      const parameters = [0, 1].map(() => ({ tensor: new Float32Array(4), shape: [4] }));
      const mark = (reducer: Reducer) => {
        reducer.prepareForBackward();
        for (const index of [1, 0]) reducer.markReady(index, scratch.fill(10 * index + rank));
      };
      const copying = new Reducer({ group, parameters });
      expect(() => mark(copying)).toThrow(/markReady of parameter 0: .* shares bytes 0 to 16 .* no other gradient/);
      copying.markReady(0, new Float32Array(4).fill(rank));
      expect((await copying.finalize()).map((average) => (average as Float32Array)[0])).toEqual([0.5, 10.5]);
      const viewing = new Reducer({ group, parameters, gradientAsBucketView: true });
      mark(viewing);
      expect((await viewing.finalize()).map((average) => (average as Float32Array)[0])).toEqual([0.5, 10.5]);
    });
  });

  it("refuses a gradient that a pending Work writes", async () => {
    await withGroup("websocket", 2, async (group) => {
      const reducer = reducerOf(group, "no hook");
      const gradient = new Float32Array(4);
      const running = group.allReduce(gradient);
      reducer.prepareForBackward();
      expect(() => reducer.markReady(0, gradient)).toThrow(
        /shares bytes 0 to 16 .* allReduce 1, which is still running/,
      );
      await running;
      for (const index of [0, 1]) reducer.markReady(index, index === 0 ? gradient : new Float32Array(4));
      await reducer.finalize();
    });
  });

  it("tells all ranks how to end a step that was left open in a join, and drops it", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const reducer = reducerOf(group, "no hook");
      const joined = join([reducer], async () => {
        reducer.prepareForBackward();
        for (const index of [0, 1]) reducer.markReady(index, new Float32Array(4));
        if (rank === 0) await reducer.finalize();
      });
      await expect(joined).rejects.toThrow(/a step of number 0 of the list did not: finalize\(\) was not awaited/);
      reducer.destroy();
    });
  });
});

it("a ShardedOptimizer refuses parameters that share memory", async () => {
  await withMemoryGroups(1, async (group) => {
    const whole = new Float32Array(6);
    const parameters = [whole.subarray(0, 4), whole.subarray(3)].map((tensor) => ({ tensor, shape: [tensor.length] }));
    const make = () => new ShardedOptimizer({ group, parameters, rule: sgd({ learningRate: 1 }) });
    expect(make).toThrow(/parameter 0 and parameter 1 share memory: give a weight .* once/);
  });
});
