/** What a newcomer gets wrong in a call: each mistake has a message that says what and where, and leaves the group whole. */
import { describe, expect, it } from "vitest";
import { MismatchError } from "../../src/errors.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { ReduceOp } from "../../src/reduce-op.ts";
import type { Tensor } from "../../src/types.ts";
import { withMemoryGroups } from "../conformance/harness.ts";
import { errorOf, expectWhole } from "./helpers.ts";

/** A mistake all ranks make, or rank 0 alone does: what it throws, and what its message must say. */
interface Mistake {
  name: string;
  call(group: ProcessGroup): unknown;
  error: typeof TypeError | typeof RangeError;
  says: RegExp[];
  /** One message is no call of the group: the next one says nothing of it. */
  isMessage?: true;
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
    name: "a promise of a tensor",
    call: (group) => group.allReduce(wrong(Promise.resolve(f32()))),
    error: TypeError,
    says: [/promise/, /await/],
  },
  {
    name: "a tensor with a shape in place of a dtype",
    call: (group) => group.allReduce(wrong({ data: f32(), shape: [2, 3] })),
    error: TypeError,
    says: [/dtype/, /pass data alone/],
  },
  {
    name: "a controller for its signal",
    call: (group) => group.allReduce(f32(), { signal: new AbortController() as unknown as AbortSignal }),
    error: TypeError,
    says: [/signal/, /controller\.signal/],
  },
  {
    name: "a bare GPUBuffer",
    call: (group) => group.allReduce(wrong({ usage: 0x8c, size: 8, mapAsync: () => undefined })),
    error: TypeError,
    says: [/GPUBuffer/, /\{ buffer, dtype \}/],
  },
  {
    name: "a root that is text",
    call: (group) => group.broadcast(f32(), { root: JSON.parse('"0"') }),
    error: TypeError,
    says: [/root/, /string/],
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
    isMessage: true,
  },
  {
    name: "a message to a rank that is not there",
    call: (group) => group.recv(f32(), 7),
    error: RangeError,
    says: [/src/, /\b7\b/, /0 to 1/],
    isMessage: true,
  },
  {
    name: "a negative tag",
    call: (group) => group.send(f32(), 1 - group.rank, { tag: -1 }),
    error: RangeError,
    says: [/tag/, /-1/],
    isMessage: true,
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
  for (const { name, call, error, says, isMessage } of MISTAKES) {
    it(`rejects ${name}, and the group is whole`, async () => {
      await withMemoryGroups(2, async (group) => {
        const thrown = await errorOf(() => call(group));
        expect(thrown).toBeInstanceOf(error);
        for (const text of says) expect(thrown.message).toMatch(text);
        await expectWhole(group);
      });
    });

    it(`rejects ${name} on one rank alone, says so at the next collective, and the group is whole`, async () => {
      await withMemoryGroups(2, async (group, rank) => {
        if (rank === 0) expect(await errorOf(() => call(group))).toBeInstanceOf(error);
        if (isMessage) return expectWhole(group);
        const next = await errorOf(() => group.barrier());
        expect(next).toBeInstanceOf(MismatchError);
        expect(next.message).toContain(
          "rank 0 called barrier() after a call that was refused, rank 1 called barrier()",
        );
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
