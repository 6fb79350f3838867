/** Models of ONNX Runtime cut by rows and columns: results, and what keeps a rank from a call. More than 400 lines, most of them tables of faults. */
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { MismatchError, UnsupportedError } from "../../src/errors.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import {
  columnShard,
  type Member,
  rowShard,
  runColumnParallel,
  runRowParallel,
  shardLengths,
} from "../../src/ort/index.ts";
import { encodeSmallFloat } from "../../src/testing/reference.ts";
import { errorOf, expectWhole } from "../bad-input/helpers.ts";
import { withMemoryGroups } from "../conformance/harness.ts";
import { testExecutor } from "../helpers/gpu.ts";
import { distanceOf, floatsOf, MLP_DIMS, type MlpDims, mlpFeeds, wholeNumbersOf } from "./mlp.ts";
import { MATMUL, MLP } from "./models.ts";
import { createSession, ort } from "./session.ts";

let mlp: ort.InferenceSession;
let matmul: ort.InferenceSession;

beforeAll(async () => {
  mlp = await createSession(MLP);
  matmul = await createSession(MATMUL);
});

const tensor = (data: Float32Array, dims: readonly number[]) => new ort.Tensor("float32", data, dims);
const dataOf = (output: ort.Tensor | undefined) => output?.data as Float32Array;

/** What one process computes. */
async function alone(numbers: (count: number, label: string) => Float32Array, dims: MlpDims): Promise<Float32Array> {
  return dataOf((await mlp.run(mlpFeeds(ort, numbers, dims))).y);
}

describe("a multilayer perceptron, its first matrix cut by columns and its second by rows", () => {
  const DIMS: readonly MlpDims[] = [
    MLP_DIMS,
    { rows: 1, input: 4, hidden: 5, output: 1 },
    { rows: 3, input: 33, hidden: 64, output: 17 },
  ];

  it.each([2, 3, 5])("is that of one process, on %i ranks", async (size) => {
    for (const dims of DIMS) {
      const results = await withMemoryGroups(size, async (group) => {
        const { y } = await runRowParallel(group, mlp, mlpFeeds(ort, floatsOf, dims, group));
        expect(y?.dims).toEqual([dims.rows, dims.output]);
        return dataOf(y);
      });
      for (const result of results) expect(result).toEqual(results[0]);
      expect(distanceOf(results[0], await alone(floatsOf, dims))).toBeLessThan(1e-5);
    }
  });

  it("has the same bits where every sum is exact", async () => {
    const expected = await alone(wholeNumbersOf, MLP_DIMS);
    expect(new Set(expected).size).toBeGreaterThan(5);
    await withMemoryGroups(3, async (group) => {
      const { y } = await runRowParallel(group, mlp, mlpFeeds(ort, wholeNumbersOf, MLP_DIMS, group));
      expect(dataOf(y)).toEqual(expected);
    });
  });
});

describe("a matrix cut by rows", () => {
  it("has the same bits in float16 where every sum is exact", async () => {
    const cast = (name: string, type: number) => ({ op: "Cast", inputs: [name], attributes: { to: type } });
    const model = await createSession({
      nodes: [
        { ...cast("x", 1), outputs: ["x32"] },
        { ...cast("w", 1), outputs: ["w32"] },
        { op: "MatMul", inputs: ["x32", "w32"], outputs: ["y32"] },
        { ...cast("y32", 10), outputs: ["y"] },
      ],
      inputs: MATMUL.inputs.map((input) => ({ ...input, type: "float16" })),
      outputs: MATMUL.outputs.map((output) => ({ ...output, type: "float16" })),
    });
    const bitsOf = (label: string, count: number) =>
      Uint16Array.from(wholeNumbersOf(count, label), (one) => encodeSmallFloat("f16", one));
    const feedsOf = (member: Member) => {
      const x = columnShard(bitsOf("x", 21), [3, 7], member);
      const w = rowShard(bitsOf("w", 35), [7, 5], member);
      return { x: new ort.Tensor("float16", x.data, x.dims), w: new ort.Tensor("float16", w.data, w.dims) };
    };
    const { y: expected } = await model.run(feedsOf({ rank: 0, size: 1 }));
    await withMemoryGroups(2, async (group) => {
      const { y } = await runRowParallel(group, model, feedsOf(group));
      expect(y?.type).toBe("float16");
      expect(y?.data).toEqual(expected?.data);
    });
  });
});

/** A session that ends after so many turns of the event loop, with these outputs. */
const sessionOf = (outputs: () => Record<string, ort.Tensor>, turns = 0) => ({
  outputNames: Object.keys(outputs()),
  run: async () => {
    for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
    return outputs();
  },
});

describe.each(["runRowParallel", "runColumnParallel"] as const)("%s(), as every rank calls it", (name) => {
  const call = (group: ProcessGroup, session: ReturnType<typeof sessionOf>, options = {}) =>
    name === "runRowParallel"
      ? runRowParallel(group, session, {}, options).then(({ y }) => [...dataOf(y)])
      : runColumnParallel(group, session, {}, { Tensor: ort.Tensor, ...options }).then((y) => [...dataOf(y)]);

  it("pairs calls that nobody awaits in the order in which they were made, whenever their sessions end", async () => {
    const turns = fc.array(fc.array(fc.nat(20), { minLength: 2, maxLength: 2 }), { minLength: 2, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(turns, async (calls) => {
        const results = await withMemoryGroups(2, (group, rank) =>
          Promise.all(
            calls.map((turns, i) => {
              const value = 10 * i + rank;
              return call(
                group,
                sessionOf(() => ({ y: tensor(Float32Array.of(value), [1, 1]) }), turns[rank]),
              );
            }),
          ),
        );
        const expected = calls.map((_, i) => (name === "runRowParallel" ? [20 * i + 1] : [10 * i, 10 * i + 1]));
        expect(results).toEqual([expected, expected]);
      }),
      { numRuns: 15 },
    );
  });

  it("tells the other ranks of a call with wrong arguments: none gets the values of another call", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const session = sessionOf(() => ({ y: tensor(Float32Array.of(1), [1, 1]) }));
      if (rank === 1) expect(await errorOf(() => call(group, session, { outputz: 1 }))).toBeInstanceOf(TypeError);
      expect(await errorOf(() => call(group, session))).toBeInstanceOf(MismatchError);
      if (rank === 0) expect(await errorOf(() => call(group, session, { outputz: 1 }))).toBeInstanceOf(TypeError);
    });
  });

  it.each(["all ranks", "one rank"])("refuses a run without an output that the session has, on %s", async (where) => {
    await withMemoryGroups(2, async (group, rank) => {
      const whole = sessionOf(() => ({ y: tensor(Float32Array.of(1), [1, 1]), z: tensor(Float32Array.of(1), [1]) }));
      const z = tensor(Float32Array.of(rank), [1]);
      const without = { ...whole, run: async () => ({ z }) };
      const isWrong = where === "all ranks" || rank === 1;
      const options = name === "runRowParallel" ? { outputs: ["z", "y"] } : { output: "y" };
      const error = await errorOf(() => call(group, isWrong ? without : whole, options));
      if (isWrong) expect(error.message).toBe(`${name}: the session has an output y, and its run gave z`);
      else expect(error).toBeInstanceOf(MismatchError);
      expect(z.location).toBe(isWrong ? "none" : "cpu");
      await expectWhole(group);
    });
  });

  it("tells the other ranks of an output that cannot be sent, at once, and disposes of all outputs", async () => {
    const made: ort.Tensor[] = [];
    await withMemoryGroups(2, async (group, rank) => {
      const session = sessionOf(() => {
        const z = tensor(Float32Array.of(1), [1, 1]);
        made.push(z);
        return { y: rank === 1 ? new ort.Tensor("string", ["a"], [1, 1]) : tensor(Float32Array.of(1), [1, 1]), z };
      });
      const options = name === "runRowParallel" ? { outputs: ["y"] } : { output: "y" };
      const error = await errorOf(() => call(group, session, options));
      expect(error).toBeInstanceOf(rank === 1 ? TypeError : MismatchError);
      if (rank === 0) expect(error.message).toMatch(/rank 1/);
      await expectWhole(group);
    });
    // The first of each rank was made for the names alone.
    expect(made.map(({ location }) => location).sort()).toEqual(["cpu", "cpu", "none", "none"]);
  });
});

describe("runRowParallel()", () => {
  it("leaves the outputs that are not named as they are", async () => {
    const model = await createSession({
      ...MATMUL,
      nodes: [...MATMUL.nodes, { op: "Neg", inputs: ["y"], outputs: ["z"] }],
      outputs: [...MATMUL.outputs, { name: "z", type: "float32", shape: ["rows", "columns"] }],
    });
    await withMemoryGroups(2, async (group) => {
      const feeds = { x: tensor(Float32Array.of(3), [1, 1]), w: tensor(Float32Array.of(group.rank + 1), [1, 1]) };
      const some = await runRowParallel(group, model, feeds, { outputs: ["y"] });
      expect([...dataOf(some.y), ...dataOf(some.z)]).toEqual([9, -3 * (group.rank + 1)]);
      const all = await runRowParallel(group, model, feeds);
      expect([...dataOf(all.y), ...dataOf(all.z)]).toEqual([9, -9]);
    });
  });

  it("refuses bools, whose sum is none, unless they are left as they are", async () => {
    await withMemoryGroups(2, async (group) => {
      const outputs = () => ({ y: new ort.Tensor("bool", [true], [1]), z: tensor(Float32Array.of(1), [1]) });
      const error = await errorOf(() => runRowParallel(group, sessionOf(outputs), {}));
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toMatch(/output y is bool, which has no sum/);
      const { y, z } = await runRowParallel(group, sessionOf(outputs), {}, { outputs: ["z"] });
      expect([y?.data, z?.data]).toEqual([Uint8Array.of(1), Float32Array.of(2)]);
    });
  });

  it("keeps the group in step where one rank's run fails, and tells which", async () => {
    await withMemoryGroups(3, async (group, rank) => {
      const feeds = { x: tensor(new Float32Array(2), [1, 2]), w: tensor(new Float32Array(2), [2, 1]) };
      const own = rank === 1 ? { x: feeds.x } : feeds;
      for (const run of [
        () => runRowParallel(group, matmul, own),
        () => runColumnParallel(group, matmul, own, { Tensor: ort.Tensor }),
      ]) {
        const error = await errorOf(run);
        if (rank !== 1) expect(error).toBeInstanceOf(MismatchError);
        expect(error.message).toMatch(rank === 1 ? /'w' is missing/ : /all(Reduce|Gather).*rank 1/);
        await expectWhole(group);
      }
    });
  });

  it("gives the outputs back where the ranks' outputs differ", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const outputs: ort.Tensor[] = [];
      const watched = {
        outputNames: matmul.outputNames,
        run: async (feeds: ort.InferenceSession.FeedsType) => {
          const results = await matmul.run(feeds);
          outputs.push(...Object.values(results));
          return results;
        },
      };
      const columns = 1 + rank;
      const feeds = { x: tensor(new Float32Array(2), [1, 2]), w: tensor(new Float32Array(2 * columns), [2, columns]) };
      const error = await errorOf(() => runRowParallel(group, watched, feeds));
      expect(error).toBeInstanceOf(MismatchError);
      expect(outputs.map(({ location }) => location)).toEqual(["none"]);
      await expectWhole(group);
    });
  });

  it.each([
    [{ outputs: ["logits"] }, /outputs must name some of y, each once; got logits/],
    [{ outputs: ["y", "y"] }, /got y, y/],
    [{ outputs: [] }, /got none/],
    [{ output: ["y"] } as object, /unknown option output; did you mean outputs\?/],
  ])("refuses %j", async (options, says) => {
    await withMemoryGroups(1, async (group) => {
      const error = await errorOf(() => runRowParallel(group, matmul, {}, options));
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toMatch(says);
    });
  });
});

describe("runColumnParallel()", () => {
  /** The feeds of one rank for x · w, `columns` wide. */
  const feedsOf = (lead: readonly number[], columns: number, member: Member) => {
    const rows = lead.reduce((product, length) => product * length, 1);
    const w = columnShard(wholeNumbersOf(4 * columns, "w"), [4, columns], member);
    return { x: tensor(wholeNumbersOf(rows * 4, "x"), [...lead, 4]), w: tensor(w.data, w.dims) };
  };

  it.each([
    { size: 2, lead: [1], columns: 6 },
    { size: 3, lead: [5], columns: 7 },
    { size: 4, lead: [2, 3], columns: 9 },
    { size: 2, lead: [0], columns: 4 },
  ])("joins the columns of all ranks: %j", async ({ size, lead, columns }) => {
    const session = await createSession({
      ...MATMUL,
      inputs: MATMUL.inputs.map((input) =>
        input.name === "x" ? { ...input, shape: [...lead.map((_, i) => `d${i}`), 4] } : input,
      ),
      outputs: MATMUL.outputs.map((output) => ({ ...output, shape: [...lead.map((_, i) => `d${i}`), "columns"] })),
    });
    const { y: expected } = await session.run(feedsOf(lead, columns, { rank: 0, size: 1 }));
    await withMemoryGroups(size, async (group) => {
      const whole = await runColumnParallel(group, session, feedsOf(lead, columns, group), {
        Tensor: ort.Tensor,
        columns: shardLengths(columns, size),
      });
      expect(whole.dims).toEqual([...lead, columns]);
      expect(whole.type).toBe("float32");
      expect(whole.data).toEqual(expected?.data);
      await expectWhole(group);
    });
  });

  it("refuses columns that are not those of the output, on every rank", async () => {
    await withMemoryGroups(2, async (group) => {
      const error = await errorOf(() =>
        runColumnParallel(group, matmul, feedsOf([2], 5, group), { Tensor: ort.Tensor, columns: [1, 1] }),
      );
      expect(error).toBeInstanceOf(RangeError);
      expect(error.message).toMatch(
        /columns \[1,1\] must have one whole number for each of 2 ranks, and [23] for rank/,
      );
    });
  });

  it.each([Number.NaN, 1.5, -1, "2", null])("refuses %j columns of another rank, on every rank", async (wrong) => {
    await withMemoryGroups(2, async (group, rank) => {
      const columns = (rank === 0 ? [1, wrong] : [wrong, 1]) as number[];
      const session = sessionOf(() => ({ y: tensor(Float32Array.of(1), [1, 1]) }));
      const error = await errorOf(() => runColumnParallel(group, session, {}, { Tensor: ort.Tensor, columns }));
      expect(error).toBeInstanceOf(RangeError);
      expect(error.message).toMatch(/must have one whole number for each of 2 ranks/);
      await expectWhole(group);
    });
  });

  it("tells the other ranks where only one has such columns, at once", async () => {
    await withMemoryGroups(3, async (group, rank) => {
      const columns = rank === 1 ? [2, 1, 2] : [2, 2, 1];
      const error = await errorOf(() =>
        runColumnParallel(group, matmul, feedsOf([2], 5, group), { Tensor: ort.Tensor, columns }),
      );
      expect(error).toBeInstanceOf(rank === 1 ? RangeError : MismatchError);
      if (rank !== 1) expect(error.message).toMatch(/rank 1/);
      await expectWhole(group);
    });
  });

  it("disposes of all outputs of the session", async () => {
    await withMemoryGroups(2, async (group) => {
      const outputs = { y: tensor(Float32Array.of(1), [1, 1]), z: tensor(Float32Array.of(2), [1]) };
      const whole = await runColumnParallel(
        group,
        sessionOf(() => outputs),
        {},
        { Tensor: ort.Tensor, output: "y" },
      );
      expect([...dataOf(whole)]).toEqual([1, 1]);
      expect(Object.values(outputs).map(({ location }) => location)).toEqual(["none", "none"]);
    });
  });

  it.each([1, 2])("destroys its buffers where the tensor of %i rows cannot be made of them", async (rows) => {
    const gpu = await testExecutor();
    const { device } = gpu;
    const live = new Set<GPUBuffer>();
    let isWatched = false;
    const createBuffer = device.createBuffer.bind(device);
    device.createBuffer = (descriptor) => {
      const buffer = createBuffer(descriptor);
      if (!isWatched || descriptor.usage !== (0x80 | 0x4 | 0x8)) return buffer;
      live.add(buffer);
      const destroy = buffer.destroy.bind(buffer);
      buffer.destroy = () => {
        live.delete(buffer);
        return destroy();
      };
      return buffer;
    };
    const fail = () => {
      throw new Error("no more tensors");
    };
    const Broken = new Proxy(ort.Tensor, {
      get: (target, key) => (key === "fromGpuBuffer" ? fail : Reflect.get(target, key)),
    });
    await withMemoryGroups(
      1,
      async (group) => {
        const buffer = createBuffer({ size: 16 * rows, usage: 0x80 | 0x4 | 0x8 });
        const dispose = () => buffer.destroy();
        const y = ort.Tensor.fromGpuBuffer(buffer, { dataType: "float32", dims: [rows, 2], dispose });
        isWatched = true;
        const error = await errorOf(() =>
          runColumnParallel(
            group,
            sessionOf(() => ({ y })),
            {},
            { Tensor: Broken },
          ),
        );
        expect(error.message).toBe("no more tensors");
        expect(live.size).toBe(0);
        expect(y.location).toBe("none");
      },
      { device, backend: "webgpu" },
    );
    await gpu.dispose();
  });

  it("rejects on every rank where columns are left out and differ", async () => {
    await withMemoryGroups(2, async (group) => {
      const run = () => runColumnParallel(group, matmul, feedsOf([2], 5, group), { Tensor: ort.Tensor });
      expect(await errorOf(run)).toBeInstanceOf(MismatchError);
      await expectWhole(group);
    });
  });

  it("refuses columns that do not fill words of a GPUBuffer, on every rank, and disposes of them", async () => {
    const gpu = await testExecutor();
    await withMemoryGroups(
      2,
      async (group) => {
        const buffer = gpu.device.createBuffer({ size: 32, usage: 0x80 | 0x4 | 0x8 });
        const dispose = () => buffer.destroy();
        const y = ort.Tensor.fromGpuBuffer(buffer, { dataType: "float16", dims: [2, 5], dispose });
        const session = { outputNames: ["y"], run: async () => ({ y }) };
        const error = await errorOf(() => runColumnParallel(group, session, {}, { Tensor: ort.Tensor }));
        expect(error).toBeInstanceOf(UnsupportedError);
        expect(error.message).toMatch(/5 columns of float16 .* cut columns in units of 2/);
        expect(y.location).toBe("none");
        await expectWhole(group);
      },
      { device: gpu.device },
    );
    await gpu.dispose();
  });
});

it("keeps the ranks in step, whatever keeps each of them from a call", async () => {
  const faults = fc.array(fc.tuple(fc.nat(4), fc.nat(4)), { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(faults, async (steps) => {
      await withMemoryGroups(2, async (group, rank) => {
        for (const [step, both] of [...steps, [0, 0]].entries()) {
          const fault = both[rank];
          const session = {
            outputNames: ["y"],
            run: async () => {
              if (fault === 1) throw new Error("the run");
              return { y: tensor(Float32Array.of(10 * step + rank), [1, 1]) };
            },
          };
          const columns = fault === 2 ? [Number.NaN, 1] : fault === 3 ? [1] : [1, fault === 4 ? 1.5 : 1];
          const run = runColumnParallel(group, session, {}, { Tensor: ort.Tensor, columns });
          if (both.every((one) => one === 0)) expect([...dataOf(await run)]).toEqual([10 * step, 10 * step + 1]);
          else await expect(run).rejects.toBeInstanceOf(fault === 0 ? MismatchError : Error);
        }
      });
    }),
    { numRuns: 10 },
  );
});
