/** Every comm hook against one set of promises; more than 400 lines, since each promise is a table over all hooks. */
import fc from "fast-check";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import type { CommHook } from "../../src/ddp/comm-hook.ts";
import { orthogonalize } from "../../src/ddp/hooks/matrix.ts";
import { narrowScaled } from "../../src/ddp/hooks/quantised/fp8-host.ts";
import {
  allReduceHook,
  BuiltinCommHookType,
  bf16CompressHook,
  bf16CompressWrapper,
  builtinCommHook,
  fp8CompressHook,
  fp16CompressHook,
  fp16CompressWrapper,
  Int8State,
  int8Hook,
  noopHook,
  PowerSgdState,
  powerSgdHook,
  TopKState,
  topKHook,
  wireBytes,
} from "../../src/ddp/index.ts";
import { f32ToF8 } from "../../src/executor/cpu/float8.ts";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "../../src/executor/cpu/half.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { inTurn } from "../../src/group/turns.ts";
import { MemoryLink } from "../../src/link/memory/link.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";
import type { Tensor } from "../../src/types.ts";
import { bucketOf, gradients, meanOf, mostDifference, ranksOf } from "./ranks.ts";

/** A hook with a state for each rank. */
interface Named {
  name: string;
  /** The hook of a rank, with the state that it keeps. */
  make(
    group: ProcessGroup,
  ): (buffer: Tensor, shapes: readonly (readonly number[])[], index?: number) => Promise<Tensor>;
  /** A bound of the error of an element, for inputs of `size` ranks whose largest magnitude is `most`. */
  bound(most: number, size: number): number;
}

const withState =
  <S>(makeState: (group: ProcessGroup) => S, hook: CommHook<S>): Named["make"] =>
  (group) => {
    const state = makeState(group);
    return async (buffer, shapes, index) => (await hook(state, bucketOf(buffer, shapes, index))) as Tensor;
  };

const itself = (group: ProcessGroup) => group;
const HOOKS: readonly Named[] = [
  { name: "allReduceHook", make: withState(itself, allReduceHook), bound: (most, size) => most * size * 2 ** -23 },
  {
    name: "fp16CompressHook",
    make: withState(itself, fp16CompressHook),
    bound: (most, size) => most * size * 2 ** -11,
  },
  { name: "bf16CompressHook", make: withState(itself, bf16CompressHook), bound: (most, size) => most * size * 2 ** -8 },
  { name: "fp8CompressHook", make: withState(itself, fp8CompressHook), bound: (most, size) => most * size * 2 ** -4 },
  {
    name: "int8Hook",
    make: withState((group) => new Int8State({ group, blockSize: 64 }), int8Hook),
    bound: (most) => (2 * most * 1.001) / 254,
  },
  {
    name: "topKHook of all",
    make: withState((group) => new TopKState({ group, ratio: 1 }), topKHook),
    bound: (most, size) => most * size * 2 ** -23,
  },
  {
    name: "powerSgdHook of full rank",
    make: withState(
      (group) => new PowerSgdState({ group, matrixApproximationRank: 8, minCompressionRate: 0, startIteration: 0 }),
      powerSgdHook,
    ),
    bound: (most, size) => most * size * 1e-5,
  },
  {
    name: "fp16CompressWrapper(int8Hook)",
    make: withState((group) => new Int8State({ group, blockSize: 64 }), fp16CompressWrapper(int8Hook)),
    bound: (most) => (2 * most * 1.02) / 254,
  },
  {
    name: "bf16CompressWrapper(allReduceHook)",
    make: withState(itself, bf16CompressWrapper(allReduceHook)),
    bound: (most, size) => most * size * 2 ** -8,
  },
];

/** Shapes whose matrices have at most 8 rows, so that PowerSGD of rank 8 loses nothing. */
const SHAPES = [[8, 40], [5], [3, 7, 4], [1]] as const;
const COUNT = 320 + 5 + 84 + 1;

const bitsOf = (values: Float32Array) => new Uint32Array(values.buffer, values.byteOffset, values.length);

async function reduceOnce(named: Named, groups: readonly ProcessGroup[], inputs: readonly Float32Array[]) {
  const results = await Promise.all(
    groups.map((group, i) => named.make(group)(inputs[i]!.slice(), inputs[0]!.length === COUNT ? SHAPES : [])),
  );
  return results as Float32Array[];
}

describe.each(HOOKS)("$name", (named) => {
  it.each([1, 2, 3, 5])("gives all of %i ranks the mean within its bound, with the same bits", async (size) => {
    const groups = await ranksOf(size);
    await fc.assert(
      fc.asyncProperty(fc.nat(), async (seed) => {
        const random = new SeededRandom(seed);
        const inputs = groups.map(() => gradients(random, COUNT));
        const results = await reduceOnce(named, groups, inputs);
        const most = Math.max(...inputs.flatMap((values) => [...values].map(Math.abs)));
        expect(mostDifference(results[0]!, meanOf(inputs))).toBeLessThanOrEqual(named.bound(most, size));
        for (const result of results) expect(bitsOf(result)).toEqual(bitsOf(results[0]!));
      }),
      { numRuns: 10 },
    );
  });

  it("takes a bucket without elements", async () => {
    const groups = await ranksOf(3);
    const results = await reduceOnce(
      named,
      groups,
      groups.map(() => new Float32Array(0)),
    );
    for (const result of results) expect(result).toHaveLength(0);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])(
    "does not hide %d in one rank's gradient, nor keep it",
    async (value) => {
      const groups = await ranksOf(3);
      const hooks = groups.map((group) => named.make(group));
      const inputs = groups.map(() => gradients(new SeededRandom(7), COUNT));
      inputs[1]![100] = value;
      const first = (await Promise.all(hooks.map((hook, i) => hook(inputs[i]!, SHAPES)))) as Float32Array[];
      for (const result of first) {
        expect(Number.isFinite(result[100])).toBe(false);
        expect(bitsOf(result)).toEqual(bitsOf(first[0]!));
      }
      const next = groups.map(() => gradients(new SeededRandom(8), COUNT));
      const second = (await Promise.all(hooks.map((hook, i) => hook(next[i]!, SHAPES)))) as Float32Array[];
      for (const result of second) expect(result.every(Number.isFinite)).toBe(true);
    },
  );

  it("keeps the order of its calls where the ranks' buckets overlap in another way", async () => {
    const groups = await ranksOf(3);
    const random = new SeededRandom(3);
    const inputs = Array.from({ length: 4 }, () => groups.map(() => gradients(random, COUNT)));
    const expected = inputs.map((values) => meanOf(values));
    const results = await Promise.all(
      groups.map(async (group, rank) => {
        const hook = named.make(group);
        const works: Promise<Tensor>[] = [];
        for (const [index, values] of inputs.entries()) {
          works.push(hook(values[rank]!, SHAPES, index));
          // Rank 0 waits for each, rank 1 for every second one, rank 2 for none.
          if (rank === 0 || (rank === 1 && index % 2 === 0)) await works.at(-1);
        }
        return Promise.all(works);
      }),
    );
    for (const ofRank of results) {
      for (const [index, result] of ofRank.entries()) {
        expect(mostDifference(result as Float32Array, expected[index]!)).toBeLessThan(named.bound(1, 3) + 1e-6);
      }
    }
  });
});

const COMPRESSORS = HOOKS.filter(({ name }) => name !== "allReduceHook");

describe.each(COMPRESSORS)("$name", (named) => {
  it.each(["f16", "bf16"] as const)("takes gradients of %s", async (dtype) => {
    const [widen, narrow] = dtype === "f16" ? [f16ToF32, f32ToF16] : [bf16ToF32, f32ToBf16];
    const groups = await ranksOf(2);
    const random = new SeededRandom(11);
    const inputs = groups.map(() => Uint16Array.from(gradients(random, COUNT), (value) => narrow(value)));
    const expected = meanOf(inputs.map((bits) => Float32Array.from(bits, (pattern) => widen(pattern))));
    await Promise.all(groups.map((group, i) => named.make(group)({ data: inputs[i]!, dtype }, SHAPES)));
    const own = dtype === "f16" ? 2 ** -11 : 2 ** -8;
    for (const bits of inputs) {
      const values = Float32Array.from(bits, (pattern) => widen(pattern));
      expect(mostDifference(values, expected)).toBeLessThanOrEqual(named.bound(1, 2) + 2 * own);
    }
    expect(inputs[0]).toEqual(inputs[1]);
  });

  it("takes gradients of f64", async () => {
    const groups = await ranksOf(2);
    const random = new SeededRandom(12);
    const inputs = groups.map(() => Float64Array.from(gradients(random, COUNT)));
    const expected = meanOf(inputs);
    await Promise.all(groups.map((group, i) => named.make(group)(inputs[i]!, SHAPES)));
    for (const values of inputs) expect(mostDifference(values, expected)).toBeLessThanOrEqual(named.bound(1, 2));
  });

  it("refuses other dtypes by name, and the group goes on", async () => {
    const groups = await ranksOf(2);
    for (const buffer of [new Int32Array(COUNT), { data: new Uint8Array(COUNT), dtype: "f8e4m3" as const }]) {
      for (const group of groups) {
        await expect(named.make(group)(buffer, [])).rejects.toThrow(
          /compresses gradients of f16, bf16, f32, f64, and the bucket has (i32|f8e4m3)/,
        );
      }
    }
    await Promise.all(groups.map((group) => group.barrier()));
  });

  it("rejects on the others when a rank leaves in the middle", async () => {
    const groups = await ranksOf(3);
    const random = new SeededRandom(13);
    const works = groups.slice(1).map((group) => named.make(group)(gradients(random, COUNT), SHAPES));
    const outcomes = Promise.allSettled(works);
    await groups[0]!.destroy();
    for (const { status } of await outcomes) expect(status).toBe("rejected");
  });
});

describe("error feedback", () => {
  const feedback: [string, Named["make"], bound: number][] = [
    ["int8Hook", withState((group) => new Int8State({ group }), int8Hook), 1 / 200],
    ["topKHook", withState((group) => new TopKState({ group, ratio: 0.05 }), topKHook), 0.4],
    [
      "powerSgdHook",
      withState((group) => new PowerSgdState({ group, matrixApproximationRank: 2, startIteration: 0 }), powerSgdHook),
      0.4,
    ],
  ];

  it.each(feedback)("makes the mean of %s over 200 steps converge to the true mean", async (_name, make, bound) => {
    const groups = await ranksOf(3);
    const hooks = groups.map((group) => make(group));
    const random = new SeededRandom(21);
    const shapes = [[20, 30]];
    const inputs = groups.map(() => gradients(random, 600));
    const expected = meanOf(inputs);
    const sum = new Float64Array(600);
    const errors: number[] = [];
    for (let step = 1; step <= 200; step++) {
      const [result] = (await Promise.all(hooks.map((hook, i) => hook(inputs[i]!.slice(), shapes)))) as Float32Array[];
      for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + result![i]!;
      if (step === 20 || step === 200) {
        errors.push(
          mostDifference(
            sum.map((value) => value / step),
            expected,
          ),
        );
      }
    }
    const [early = 0, late = 1] = errors;
    // What is kept stays bounded, so the error of the mean falls like 1/T.
    expect(late).toBeLessThan(early * 0.2);
    expect(late).toBeLessThan(bound);
  });

  it("is what makes it so: without it int8Hook stays where its rounding puts it", async () => {
    const groups = await ranksOf(2);
    const states = groups.map((group) => new Int8State({ group, errorFeedback: false }));
    const run = async () => {
      const input = () => Float32Array.of(1, 0.003);
      return (await Promise.all(states.map((state) => int8Hook(state, bucketOf(input(), [[2]]))))) as Float32Array[];
    };
    const [first] = await run();
    for (let step = 0; step < 5; step++) expect((await run())[0]).toEqual(first);
    expect(first![1]).toBe(0);
  });
});

describe("powerSgdHook", () => {
  /** A matrix with these singular values, and random singular vectors. */
  function matrixOf(random: SeededRandom, singular: readonly number[], rows: number, columns: number): Float32Array {
    const draw = (length: number) => {
      const values = Float32Array.from({ length: length * singular.length }, () => random.u32() / 2 ** 31 - 1);
      orthogonalize({ values, rows: length, columns: singular.length }, 0);
      return values;
    };
    const [left, right] = [draw(rows), draw(columns)];
    return Float32Array.from({ length: rows * columns }, (_, at) => {
      const [row, column] = [Math.floor(at / columns), at % columns];
      return singular.reduce(
        (sum, value, i) => sum + value * left[row * singular.length + i]! * right[column * singular.length + i]!,
        0,
      );
    });
  }

  it.each([1, 2, 3, 4])("comes to the error that the spectrum says, for rank %i", async (rank) => {
    const singular = [8, 4, 2, 1, 0.5];
    const [rows, columns] = [24, 30];
    const random = new SeededRandom(rank);
    const groups = await ranksOf(3);
    const mean = matrixOf(random, singular, rows, columns);
    const noise = gradients(random, mean.length);
    // The ranks' gradients differ, and their mean is the matrix.
    const inputs = groups.map((group) => mean.map((value, i) => value + (group.rank - 1) * noise[i]!));
    const states = groups.map(
      (group) =>
        new PowerSgdState({
          ...{ group, matrixApproximationRank: rank, minCompressionRate: 0 },
          ...{ startIteration: 0, errorFeedback: false },
        }),
    );
    const best = Math.sqrt(singular.slice(rank).reduce((sum, value) => sum + value ** 2, 0));
    const errors: number[] = [];
    for (let step = 0; step < 20; step++) {
      const [result] = (await Promise.all(
        states.map((state, i) => powerSgdHook(state, bucketOf(inputs[i]!.slice(), [[rows, columns]]))),
      )) as Float32Array[];
      errors.push(Math.hypot(...mean.map((value, i) => value - result![i]!)));
    }
    expect(errors[0]).toBeGreaterThan(best);
    expect(errors.at(-1)).toBeGreaterThan(best * 0.9999);
    expect(errors.at(-1)).toBeLessThan(best * 1.001);
  });

  it("averages as it is before its first iteration, and vectors always", async () => {
    const groups = await ranksOf(2);
    const states = groups.map((group) => new PowerSgdState({ group, startIteration: 2, minCompressionRate: 0 }));
    const random = new SeededRandom(5);
    const inputs = groups.map(() => gradients(random, 70));
    const expected = meanOf(inputs);
    for (let step = 0; step < 3; step++) {
      const [result] = (await Promise.all(
        states.map((state, i) => powerSgdHook(state, bucketOf(inputs[i]!.slice(), [[6, 10], [10]]))),
      )) as Float32Array[];
      expect(mostDifference(result!.subarray(60), expected.subarray(60))).toBeLessThan(1e-6);
      expect(mostDifference(result!.subarray(0, 60), expected.subarray(0, 60)) < 1e-6).toBe(step < 2);
    }
  });

  it("begins anew when the buckets are rebuilt", async () => {
    const [group] = await ranksOf(1);
    const state = new TopKState({ group: group!, ratio: 0.1 });
    const input = () => Float32Array.from({ length: 20 }, (_, i) => i + 1);
    await topKHook(state, bucketOf(input(), [[20]]));
    const rebuilt = (await topKHook(state, bucketOf(input(), [[10], [10]]))) as Float32Array;
    expect(rebuilt).toEqual(input().map((value) => (value > 18 ? value : 0)));
  });
});

/** The payload bytes that all ranks send over memory links while `call` runs, short messages of control without. */
async function bytesSent(call: () => Promise<unknown>): Promise<number> {
  let bytes = 0;
  const send = MemoryLink.prototype.send;
  const sendHandle = MemoryLink.prototype.sendHandle;
  const spies = [
    vi.spyOn(MemoryLink.prototype, "send").mockImplementation(function (this: MemoryLink, header, payload, onSent) {
      bytes += payload?.byteLength ?? 0;
      send.call(this, header, payload, onSent);
    }),
    vi.spyOn(MemoryLink.prototype, "sendHandle").mockImplementation(function (this: MemoryLink, header, handle) {
      bytes += handle.byteLength;
      sendHandle.call(this, header, handle);
    }),
  ];
  onTestFinished(() => {
    for (const spy of spies) spy.mockRestore();
  });
  await call();
  for (const spy of spies) spy.mockRestore();
  return bytes;
}

describe("wireBytes", () => {
  const shapes = [[64, 100], [100]];
  const count = 6500;
  const cases: [string, Named["make"], (size: number) => number][] = [
    ["allReduce", withState(itself, allReduceHook), (size) => wireBytes.allReduce(count, size)],
    ["fp16Compress", withState(itself, fp16CompressHook), (size) => wireBytes.fp16Compress(count, size)],
    ["bf16Compress", withState(itself, bf16CompressHook), (size) => wireBytes.bf16Compress(count, size)],
    ["fp8Compress", withState(itself, fp8CompressHook), (size) => wireBytes.fp8Compress(count, size)],
    ["int8", withState((group) => new Int8State({ group }), int8Hook), (size) => wireBytes.int8(count, size)],
    ["topK", withState((group) => new TopKState({ group }), topKHook), (size) => wireBytes.topK(count, size)],
    [
      "powerSgd",
      withState((group) => new PowerSgdState({ group, startIteration: 0 }), powerSgdHook),
      (size) => wireBytes.powerSgd(shapes, size),
    ],
  ];

  it.each(cases)("of %s are what crosses the links", async (name, make, formula) => {
    const isAllReduce = name !== "int8" && name !== "topK";
    for (const size of [1, 2, 3, 4, 5]) {
      const groups = await ranksOf(size, isAllReduce ? { algorithm: "owner-direct" } : {});
      const random = new SeededRandom(size);
      const hooks = groups.map((group) => make(group));
      const inputs = groups.map(() => gradients(random, count));
      const sent = await bytesSent(() => Promise.all(hooks.map((hook, i) => hook(inputs[i]!, shapes))));
      expect(sent, `${size} ranks`).toBe(formula(size));
    }
  });

  it("are half of f32's for f16, and at most 26 % for int8", () => {
    expect(wireBytes.fp16Compress(1000, 4)).toBe(wireBytes.allReduce(1000, 4) / 2);
    expect(wireBytes.int8(1 << 20, 4) / wireBytes.allReduce(1 << 20, 4)).toBeLessThan(0.26);
  });
});

describe("narrowScaled()", () => {
  it("rounds any f32 to the f8e4m3 that the executor's own conversion gives", () => {
    const random = new SeededRandom(51);
    const bits = Uint32Array.from({ length: 200_000 }, (_, i) => {
      // A third of them around the steps of f8e4m3, with their lower halves all 0 or nearly so.
      const word = random.u32();
      return i % 3 === 0 ? ((word & 0xfff00000) | (word & 1)) >>> 0 : word;
    });
    const values = new Float32Array(bits.buffer);
    for (const scale of [1, 2 ** -10, 2 ** 12]) {
      const expected = Uint8Array.from(values, (value) =>
        f32ToF8("f8e4m3", Number.isFinite(Math.fround(value * scale)) ? value * scale : Number.NaN),
      );
      expect(narrowScaled(values, scale)).toEqual(expected);
    }
  });
});

describe("a hook whose peer lies", () => {
  it("rejects an element that topKHook's bucket has not, and the group goes on", async () => {
    const [a, b] = (await ranksOf(2)) as [ProcessGroup, ProcessGroup];
    const state = new TopKState({ group: a, ratio: 0.05 });
    const lie = inTurn(
      b,
      "comm hook",
      () => {},
      async ({ part }) => {
        await b.allGatherIntoTensor(new Uint32Array(4), Uint32Array.of(20, 0), part);
        throw new Error("the rank that lies, whose call fails as well");
      },
    );
    lie.catch(() => {});
    await expect(topKHook(state, bucketOf(new Float32Array(20), [[20]]))).rejects.toThrow(
      /rank 1 sent element 20 of a bucket that has 20/,
    );
    await expect(lie).rejects.toThrow(/lies/);
    await Promise.all([a.barrier(), b.barrier()]);
  });
});

describe("noopHook", () => {
  it("leaves the gradients of each rank as they are", async () => {
    const buffer = Float32Array.of(1, 2);
    expect(await noopHook(null, bucketOf(buffer, [[2]]))).toBe(buffer);
    expect(buffer).toEqual(Float32Array.of(1, 2));
  });
});

describe("builtinCommHook()", () => {
  it("gives the hook of each type, and refuses others by name", () => {
    expect(builtinCommHook(BuiltinCommHookType.ALLREDUCE)).toBe(allReduceHook);
    expect(builtinCommHook("FP16_COMPRESS")).toBe(fp16CompressHook);
    expect(() => builtinCommHook("constructor" as never)).toThrow(
      /constructor is no built-in comm hook: use one of ALLREDUCE, FP16_COMPRESS/,
    );
  });
});

describe("the states", () => {
  it.each<[RegExp, (group: ProcessGroup) => unknown]>([
    [
      /Int8State: unknown option blocksize; did you mean blockSize\?/,
      (group) => new Int8State({ group, blocksize: 8 } as never),
    ],
    [/Int8State: group must be the ProcessGroup/, () => new Int8State({} as never)],
    [
      /Int8State: blockSize must be a multiple of 4 from 4 to 65536, got 6/,
      (group) => new Int8State({ group, blockSize: 6 }),
    ],
    [/Int8State: errorFeedback must be true or false/, (group) => new Int8State({ group, errorFeedback: 1 as never })],
    [/TopKState: ratio must be above 0 and at most 1, got 0/, (group) => new TopKState({ group, ratio: 0 })],
    [/TopKState: ratio must be above 0 and at most 1, got NaN/, (group) => new TopKState({ group, ratio: Number.NaN })],
    [/TopKState: unknown option k/, (group) => new TopKState({ group, k: 3 } as never)],
    [
      /PowerSgdState: matrixApproximationRank must be a whole number from 1/,
      (group) => new PowerSgdState({ group, matrixApproximationRank: 0 }),
    ],
    [/PowerSgdState: startIteration must be/, (group) => new PowerSgdState({ group, startIteration: -1 })],
    [/PowerSgdState: minCompressionRate must be/, (group) => new PowerSgdState({ group, minCompressionRate: -1 })],
    [/PowerSgdState: unknown option rank/, (group) => new PowerSgdState({ group, rank: 2 } as never)],
  ])("say %s", async (says, make) => {
    const [group] = await ranksOf(1);
    expect(() => make(group!)).toThrow(says);
  });
});
