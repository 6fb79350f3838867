/** What a newcomer gets wrong: each mistake has a message that says what and where, and leaves the group whole. */
import { execFile } from "node:child_process";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it, vi } from "vitest";
import { AdmissionError, MismatchError } from "../src/errors.ts";
import { initProcessGroup } from "../src/node/index.ts";
import type { ProcessGroup } from "../src/process-group.ts";
import { ReduceOp } from "../src/reduce-op.ts";
import type { Tensor } from "../src/types.ts";
import { freePort, initMethodOf, TEST_TRANSPORTS, withGroup, withMemoryGroups } from "./conformance/harness.ts";

/** The error of a call, thrown or rejected with. */
async function errorOf(call: () => unknown): Promise<Error> {
  try {
    await call();
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
  throw new Error("expected a rejection, and the call succeeded");
}

/** Collectives are still right: one of every direction of flow. */
async function expectWhole(group: ProcessGroup): Promise<void> {
  const sum = Int32Array.of(group.rank + 1, 7);
  await group.allReduce(sum);
  expect(Array.from(sum)).toEqual([(group.size * (group.size + 1)) / 2, 7 * group.size]);
  const copy = Float64Array.of(group.rank);
  await group.broadcast(copy, { root: group.size - 1 });
  expect(copy[0]).toBe(group.size - 1);
}

/** A mistake all ranks make, or rank 0 alone does: what it throws, and what its message must say. */
interface Mistake {
  name: string;
  call(group: ProcessGroup): unknown;
  error: typeof TypeError | typeof RangeError;
  says: RegExp[];
}

function detached(): Float32Array {
  const array = new Float32Array(4);
  structuredClone(array.buffer, { transfer: [array.buffer] });
  return array;
}

const f32 = () => new Float32Array(6);
const i32 = () => new Int32Array(6);
/** What the types forbid and JavaScript lets pass. */
const wrong = (value: unknown) => value as Tensor;

const MISTAKES: Mistake[] = [
  {
    name: "an array that is no typed array",
    call: (group) => group.allReduce(wrong([1, 2, 3])),
    error: TypeError,
    says: [/array/i, /Float32Array/],
  },
  {
    name: "no tensor at all",
    call: (group) => group.broadcast(wrong(undefined)),
    error: TypeError,
    says: [/tensor/, /undefined/],
  },
  {
    name: "a dtype that does not exist",
    call: (group) => group.allReduce(wrong({ data: f32(), dtype: "float" })),
    error: TypeError,
    says: [/float/, /f32/],
  },
  {
    name: "a dtype that does not fit its array",
    call: (group) => group.allReduce({ data: f32(), dtype: "f16" }),
    error: TypeError,
    says: [/f16/, /Float32Array/, /Uint16Array/],
  },
  {
    name: "two dtypes in one call",
    call: (group) => group.allGatherIntoTensor(new Float32Array(12), i32()),
    error: TypeError,
    says: [/output/, /f32/, /i32/],
  },
  {
    name: "a bitwise operation on floats",
    call: (group) => group.allReduce(f32(), { op: ReduceOp.BAND }),
    error: TypeError,
    says: [/band/, /f32/, /integer/],
  },
  {
    name: "an operation that does not exist",
    call: (group) => group.allReduce(f32(), { op: "add" as "sum" }),
    error: TypeError,
    says: [/add/, /sum/],
  },
  {
    name: "a tensor of a detached buffer",
    call: (group) => group.allReduce(detached()),
    error: TypeError,
    says: [/detached/],
  },
  {
    name: "a tensor of a detached buffer in a coalesced call",
    call: (group) => group.allReduceCoalesced([detached()]),
    error: TypeError,
    says: [/detached/],
  },
  {
    name: "a root beyond the last rank",
    call: (group) => group.broadcast(f32(), { root: 2 }),
    error: RangeError,
    says: [/root/, /\b2\b/, /0 to 1/],
  },
  {
    name: "a root that is no whole number",
    call: (group) => group.reduce(f32(), { root: 0.5 }),
    error: RangeError,
    says: [/root/, /0\.5/],
  },
  {
    name: "an output of the wrong length",
    call: (group) => group.allGatherIntoTensor(new Float32Array(11), f32()),
    error: RangeError,
    says: [/output/, /\b11\b/, /\b12\b/],
  },
  {
    name: "a list of the wrong length",
    call: (group) => group.allToAll([f32()], [f32(), f32()]),
    error: RangeError,
    says: [/outputs/, /\b1\b/, /\b2\b/],
  },
  {
    name: "splits that do not add up",
    call: (group) => group.allToAllSingle(f32(), f32(), { inputSplits: [1, 2], outputSplits: [3, 3] }),
    error: RangeError,
    says: [/inputSplits/, /\b3\b/, /\b6\b/],
  },
  {
    name: "a length that the ranks cannot share",
    call: (group) => group.allToAllSingle(new Float32Array(7), new Float32Array(7)),
    error: RangeError,
    says: [/\b7\b/, /\b2\b/, /Splits/],
  },
  {
    name: "a message to oneself",
    call: (group) => group.send(f32(), group.rank),
    error: RangeError,
    says: [/dst/, /itself/],
  },
  {
    name: "a message to a rank that is not there",
    call: (group) => group.recv(f32(), 7),
    error: RangeError,
    says: [/src/, /\b7\b/, /0 to 1/],
  },
  {
    name: "a negative tag",
    call: (group) => group.send(f32(), 1 - group.rank, { tag: -1 }),
    error: RangeError,
    says: [/tag/, /-1/],
  },
  {
    name: "an algorithm that does not exist",
    call: (group) => group.allReduce(f32(), { algorithm: "telepathy" }),
    error: RangeError,
    says: [/telepathy/, /ring/],
  },
  {
    name: "a rank twice in newGroup",
    call: (group) => group.newGroup([1, 1]),
    error: RangeError,
    says: [/rank 1/, /twice/],
  },
  {
    name: "a rank in newGroup that is not there",
    call: (group) => group.newGroup([0, 5]),
    error: RangeError,
    says: [/\b5\b/, /0 to 1/],
  },
  {
    name: "an input that overlaps its output",
    call: (group) => {
      const memory = new Float32Array(13);
      return group.allGatherIntoTensor(memory.subarray(0, 12), memory.subarray(7));
    },
    error: TypeError,
    says: [/share memory|overlap/],
  },
];

describe("a call that is wrong on its own", () => {
  for (const { name, call, error, says } of MISTAKES) {
    it(`rejects ${name}, and the group is whole`, async () => {
      await withMemoryGroups(2, async (group) => {
        const thrown = await errorOf(() => call(group));
        expect(thrown).toBeInstanceOf(error);
        for (const text of says) expect(thrown.message).toMatch(text);
        await expectWhole(group);
      });
    });

    it(`rejects ${name} on one rank alone, and the group is whole`, async () => {
      await withMemoryGroups(2, async (group, rank) => {
        if (rank === 0) expect(await errorOf(() => call(group))).toBeInstanceOf(error);
        await expectWhole(group);
      });
    });
  }

  it("rejects a tensor that a running Work owns, and both the Work and the group are well", async () => {
    await withMemoryGroups(2, async (group) => {
      const tensor = Float32Array.of(1, 2, 3);
      const work = group.allReduce(tensor);
      const thrown = await errorOf(() => group.allReduce(tensor.subarray(1)));
      expect(thrown).toBeInstanceOf(TypeError);
      expect(thrown.message).toMatch(/allReduce/);
      await work;
      expect(Array.from(tensor)).toEqual([2, 4, 6]);
      await expectWhole(group);
    });
  });
});

/** Ranks that disagree: what each rank calls, and what every rank's message must name. */
interface Disagreement {
  name: string;
  call(group: ProcessGroup): unknown;
  says: RegExp[];
}

const DISAGREEMENTS: Disagreement[] = [
  {
    name: "count",
    call: (group) => group.allReduce(new Float32Array(group.rank === 1 ? 5 : 4)),
    says: [/count/, /\b4\b/, /\b5\b/],
  },
  {
    name: "dtype",
    call: (group) => group.allReduce(group.rank === 1 ? i32() : f32()),
    says: [/dtype/, /f32/, /i32/],
  },
  {
    name: "collective",
    call: (group) => (group.rank === 1 ? group.broadcast(f32()) : group.allReduce(f32())),
    says: [/collective/, /broadcast/, /allReduce/],
  },
  {
    name: "collective, one of them without tensors",
    call: (group) => (group.rank === 1 ? group.barrier() : group.allReduce(f32())),
    says: [/collective/, /barrier/, /allReduce/],
  },
  {
    name: "root",
    call: (group) => group.broadcast(f32(), { root: group.rank === 1 ? 1 : 0 }),
    says: [/root/, /root 0/, /root 1/],
  },
  {
    name: "reduce op",
    call: (group) => group.allReduce(f32(), { op: group.rank === 1 ? "max" : "sum" }),
    says: [/op/, /max/, /sum/],
  },
  {
    name: "custom op",
    call: (group) => {
      const js = (a: number, b: number) => a + b;
      const name = group.rank === 1 ? "mine" : "yours";
      const op = ReduceOp.custom({ name, wgsl: "a + b", js, identity: 0, commutative: true });
      return group.allReduce(f32(), { op });
    },
    says: [/custom/],
  },
  {
    name: "algorithm",
    call: (group) => group.allReduce(f32(), { algorithm: group.rank === 1 ? "ring" : "doubling" }),
    says: [/algorithm/],
  },
  {
    name: "list of counts",
    call: (group) => {
      const lengths = group.rank === 1 ? [3, 4, 5].slice(0, group.size) : [3, 3, 5].slice(0, group.size);
      const outputs = lengths.map((length) => new Float32Array(length));
      return group.allGather(outputs, new Float32Array(lengths[group.rank] as number));
    },
    says: [/count/],
  },
];

for (const transport of TEST_TRANSPORTS) {
  describe(`ranks that disagree, over ${transport}`, () => {
    for (const { name, call, says } of DISAGREEMENTS) {
      it(`all reject with one MismatchError that names both sides: ${name}`, async () => {
        const messages = await withGroup(transport, 3, async (group) => {
          const thrown = await errorOf(() => call(group));
          expect(thrown).toBeInstanceOf(MismatchError);
          for (const text of [/\brank 1\b/, /\brank [02]\b/, ...says]) expect(thrown.message).toMatch(text);
          await expectWhole(group);
          return thrown.message;
        });
        expect(new Set(messages).size).toBe(1);
      });
    }

    it("reject messages of unequal length on both sides, and the group is whole", async () => {
      await withGroup(transport, 2, async (group, rank) => {
        const thrown = await errorOf(() =>
          rank === 0 ? group.send(new Float32Array(4), 1) : group.recv(new Float32Array(5), 0),
        );
        expect(thrown).toBeInstanceOf(MismatchError);
        for (const text of [/rank 0/, /rank 1/, /\b4\b/, /\b5\b/]) expect(thrown.message).toMatch(text);
        await expectWhole(group);
      });
    });
  });
}

describe("initProcessGroup()", () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it("rejects worldSize 0", async () => {
    const thrown = await errorOf(async () => initProcessGroup({ initMethod: "memory://none", rank: 0, worldSize: 0 }));
    expect(thrown).toBeInstanceOf(RangeError);
    expect(thrown.message).toMatch(/worldSize.*\b0\b/);
  });

  it("rejects a rank outside the world", async () => {
    const thrown = await errorOf(async () => initProcessGroup({ initMethod: "memory://none", rank: 3, worldSize: 3 }));
    expect(thrown).toBeInstanceOf(RangeError);
    expect(thrown.message).toMatch(/rank.*\b3\b/);
  });

  it("rejects an address of an unknown kind, and says which there are", async () => {
    const thrown = await errorOf(async () =>
      initProcessGroup({ initMethod: "carrier-pigeon://roof", rank: 0, worldSize: 1 }),
    );
    expect(thrown.message).toMatch(/carrier-pigeon/);
    expect(thrown.message).toMatch(/memory:\/\//);
  });

  for (const missing of ["RANK", "WORLD_SIZE"]) {
    it(`names the environment variable ${missing} where it is missing`, async () => {
      for (const [name, value] of Object.entries({ RANK: "0", WORLD_SIZE: "1", MASTER_PORT: `${await freePort()}` })) {
        vi.stubEnv(name, name === missing ? undefined : value);
      }
      const thrown = await errorOf(async () => initProcessGroup());
      expect(thrown.message).toMatch(new RegExp(`\\b${missing}\\b`));
    });
  }

  it("names an environment variable that is no number, and its value", async () => {
    vi.stubEnv("RANK", "first");
    vi.stubEnv("WORLD_SIZE", "2");
    const thrown = await errorOf(async () => initProcessGroup());
    expect(thrown.message).toMatch(/\bRANK\b/);
    expect(thrown.message).toMatch(/first/);
  });

  it("names the port where it is in use by something else", async () => {
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const { port } = server.address() as { port: number };
      const initMethod = `tcp://127.0.0.1:${port}`;
      const thrown = await errorOf(async () =>
        initProcessGroup({ initMethod, rank: 0, worldSize: 1, transport: "hub", timeoutMs: 3000 }),
      );
      expect(thrown.message).toContain(`${port}`);
      expect(thrown.message).toMatch(/in use|EADDRINUSE/);
    } finally {
      server.close();
    }
  });

  for (const transport of TEST_TRANSPORTS) {
    it(`refuses a second holder of a rank over ${transport}, and the first keeps it`, async () => {
      const initMethod = await initMethodOf(transport);
      const join = (rank: number, timeoutMs = 20_000) =>
        initProcessGroup({ initMethod, rank, worldSize: 2, transport, backend: "cpu", timeoutMs });
      const groups = await Promise.all([join(0), join(1)]);
      const thrown = await errorOf(() => join(1, 3000));
      expect(thrown).toBeInstanceOf(AdmissionError);
      expect(thrown.message).toMatch(/rank 1/);
      await Promise.all(groups.map((group) => expectWhole(group)));
      await Promise.all(groups.map((group) => group.destroy()));
    });
  }
});

/** How a script of this folder ended, run by Node. */
function runScript(path: string, ...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const file = fileURLToPath(new URL(path, import.meta.url));
  return new Promise((resolve) => {
    execFile(process.execPath, ["--import", "tsx", file, ...args], { timeout: 20_000 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
      resolve({ code, stdout, stderr });
    });
  });
}

describe("works that reject while another is awaited", () => {
  it("do not end the process, and are reported once each", async () => {
    const { code, stdout, stderr } = await runScript("runtime/node/three-rejections.ts");
    expect(stderr).not.toMatch(/unhandled/i);
    expect(stdout).toContain("alive");
    expect(code).toBe(0);
    const reported = JSON.parse(stdout.split("\n")[0] as string) as string[];
    expect(reported.length).toBe(2);
    for (const message of reported) expect(message).toMatch(/count/);
  });
});

describe("webccl", () => {
  for (const command of ["run", "bench", "info", "hub"]) {
    it(`${command} rejects a flag it does not know, and names it`, async () => {
      const { code, stderr } = await runScript("../src/cli/main.ts", command, "--frobnicate");
      expect(code).not.toBe(0);
      expect(stderr).toMatch(/--?frobnicate/);
      expect(stderr).not.toMatch(/^\s+at /m);
    });
  }
});
