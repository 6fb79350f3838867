/** Checkpoints and the safetensors format; more than 400 lines, most of them the table of hostile files. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hostTensor, readBytes } from "../../src/ddp/host-copy.ts";
import {
  decodeSafetensors,
  encodeSafetensors,
  gatherCheckpoint,
  loadCheckpoint,
  type NamedTensors,
  scatterCheckpoint,
} from "../../src/ddp/index.ts";
import { MismatchError, ProtocolError } from "../../src/errors.ts";
import type { GpuExecutor } from "../../src/executor/webgpu/create-executor.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { inTurn } from "../../src/group/turns.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";
import { describe as viewOf } from "../../src/tensor/describe.ts";
import { bytesPerElement, DATA_TYPES, type DataType, type ShapedTensor, type Tensor } from "../../src/types.ts";
import { testExecutor } from "../helpers/gpu.ts";
import { expectToldRefusal, ranksOf } from "./ranks.ts";

function randomTensor(dtype: DataType, shape: readonly number[], random: SeededRandom): ShapedTensor {
  const count = shape.reduce((product, length) => product * length, 1);
  const bytes = Uint8Array.from({ length: count * bytesPerElement(dtype) }, () => random.u32());
  return { tensor: hostTensor(dtype, bytes), shape };
}

function bytesOf(tensor: Tensor): number[] {
  const { buffer, byteOffset, byteLength } = viewOf(tensor);
  return [...new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength)];
}

/** Names, dtypes, shapes and bytes, to be compared. */
function plain(tensors: NamedTensors) {
  const list = tensors instanceof Map ? [...tensors] : Object.entries(tensors);
  return list
    .map(([name, { tensor, shape }]) => [name, viewOf(tensor).dtype, [...shape], bytesOf(tensor)])
    .sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
}

const names = fc.oneof(
  fc.string({ unit: "binary", maxLength: 8 }),
  fc.constantFrom("__proto__", "constructor", "0", "7", "toString", "a.weight", '"', "\\", "\u2028", "\ud800"),
);
const models = fc.uniqueArray(
  fc.record({
    name: names,
    dtype: fc.constantFrom(...DATA_TYPES),
    shape: fc.array(fc.nat(4), { maxLength: 3 }),
    seed: fc.nat(),
  }),
  { selector: ({ name }) => name, maxLength: 10 },
);

const modelOf = (list: readonly { name: string; dtype: DataType; shape: number[]; seed: number }[]) =>
  new Map(
    list.map(({ name, dtype, shape, seed }) => [name, randomTensor(dtype, shape, new SeededRandom(seed))] as const),
  );

describe("encodeSafetensors() and decodeSafetensors()", () => {
  it("give back every name, dtype, shape and byte, and the metadata", () => {
    fc.assert(
      fc.property(models, fc.dictionary(names, fc.string()), (list, metadata) => {
        const model = modelOf(list);
        const decoded = decodeSafetensors(encodeSafetensors(model, new Map(Object.entries(metadata))));
        expect(plain(decoded.tensors)).toEqual(plain(model));
        expect([...decoded.metadata].sort()).toEqual(Object.entries(metadata).sort());
      }),
    );
  });

  it("read what Hugging Face's library wrote, and write its bytes", () => {
    // Recorded by test/oracles/safetensors.py.
    const file = new Uint8Array(readFileSync(new URL("vectors/recorded.safetensors", import.meta.url)));
    const { tensors, metadata } = decodeSafetensors(file);
    expect([...tensors].map(([name, { tensor, shape }]) => [name, viewOf(tensor).dtype, shape]).sort()).toEqual([
      ["bias", "f16", [3]],
      ["bytes", "u8", [5]],
      ["empty", "f32", [0, 4]],
      ["ids", "i64", [2]],
      ["scalar", "f64", []],
      ["weight", "f32", [2, 3]],
    ]);
    expect(tensors.get("weight")?.tensor).toEqual(Float32Array.of(0, 0.5, 1, 1.5, 2, 2.5));
    expect(tensors.get("ids")?.tensor).toEqual(BigInt64Array.of(-1n, 2n ** 62n));
    expect(tensors.get("scalar")?.tensor).toEqual(Float64Array.of(Math.PI));
    expect(Object.fromEntries(metadata)).toEqual({ format: "np" });
    expect(encodeSafetensors(tensors, metadata)).toEqual(file);
  });

  it("read a Buffer at any offset, and give tensors that share no memory with it", () => {
    fc.assert(
      fc.property(models, fc.nat(9), (list, offset) => {
        const model = modelOf(list);
        const file = encodeSafetensors(model);
        const buffer = Buffer.alloc(offset + file.length).subarray(offset);
        buffer.set(file);
        const { tensors } = decodeSafetensors(buffer);
        buffer.fill(0xff);
        expect(plain(tensors)).toEqual(plain(model));
      }),
    );
  });

  it("align every tensor to its elements", () => {
    const bytes = encodeSafetensors({
      a: { tensor: Uint8Array.of(1), shape: [1] },
      b: { tensor: Float64Array.of(2), shape: [] },
    });
    const header = new TextDecoder().decode(
      bytes.subarray(8, 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true))),
    );
    expect(JSON.parse(header).b.data_offsets).toEqual([0, 8]);
    expect((8 + header.length) % 8).toBe(0);
  });

  const f32 = { tensor: new Float32Array(2), shape: [2] };
  it.each<[RegExp, NamedTensors, Record<string, unknown>]>([
    [/no tensor may have the name __metadata__/, { __metadata__: f32 }, {}],
    [/a: the shape \[3\] has 3 elements, not 2/, { a: { ...f32, shape: [3] } }, {}],
    [/a: the shape must be a list of whole numbers/, { a: { ...f32, shape: [-1] } }, {}],
    [/a: a value of type number is not a tensor/, { a: { tensor: 3 as never, shape: [] } }, {}],
    [/metadata of a safetensors file holds strings, and k is number/, { a: f32 }, { k: 1 }],
  ])("refuse to write: %s", (says, tensors, metadata) => {
    expect(() => encodeSafetensors(tensors, metadata as Record<string, string>)).toThrow(says);
  });
});

/** A file with this text as its header, and so many bytes of data. */
function fileOf(header: unknown, dataBytes: number, length?: bigint): Uint8Array {
  const text = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + text.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

const f32At = (start: number, end: number, shape = [(end - start) / 4]) => ({
  ...{ dtype: "F32", shape },
  data_offsets: [start, end],
});

/** Files that are none, and what is said of them. */
const HOSTILE: readonly [RegExp, Uint8Array][] = [
  [/it has 0 bytes, less than the length/, new Uint8Array(0)],
  [/it has 7 bytes, less than the length/, new Uint8Array(7)],
  [/more than 100000000/, fileOf("{}", 0, 2n ** 64n - 1n)],
  [/more than 100000000/, fileOf("{}", 0, 100_000_001n)],
  [/its header is said to end at byte 11, and it has 10/, fileOf("{}", 0, 3n)],
  [/its header is no JSON/, fileOf("{", 0)],
  [/its header is no JSON/, fileOf("", 0)],
  [/its header is no JSON/, new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0, 0xff])],
  [/too many levels/, fileOf("[".repeat(100_000), 0)],
  [/its header is no object/, fileOf("[]", 0)],
  [/its header is no object/, fileOf("null", 0)],
  [/the name "a" comes twice/, fileOf('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"\\u0061" :{}}', 4)],
  [/the name "dtype" comes twice/, fileOf('{"a":{"dtype":"F32","dtype":"I32","shape":[1],"data_offsets":[0,4]}}', 4)],
  [/tensor "a" has the dtype undefined/, fileOf({ a: 1 }, 0)],
  [/tensor "a" has the dtype F33: known are/, fileOf({ a: { ...f32At(0, 4), dtype: "F33" } }, 4)],
  [/tensor "a" has the dtype constructor/, fileOf({ a: { ...f32At(0, 4), dtype: "constructor" } }, 4)],
  [/tensor "a" has no shape/, fileOf({ a: { ...f32At(0, 4), shape: [-1] } }, 4)],
  [/tensor "a" has no shape/, fileOf({ a: { ...f32At(0, 4), shape: Array(65).fill(1) } }, 4)],
  [/has bytes 0 to 4, and needs/, fileOf({ a: f32At(0, 4, [2 ** 40, 2 ** 40]) }, 4)],
  [/has bytes 0 to 4, and needs 8/, fileOf({ a: f32At(0, 4, [2]) }, 4)],
  [/has bytes 4 to 0, and needs 4/, fileOf({ a: f32At(4, 0, [1]) }, 4)],
  [/no two data_offsets/, fileOf({ a: { dtype: "F32", shape: [1], data_offsets: [0, 4, 8] } }, 4)],
  [/no two data_offsets/, fileOf({ a: { dtype: "F32", shape: [1], data_offsets: [-4, 0] } }, 4)],
  [/no two data_offsets/, fileOf({ a: { dtype: "F32", shape: [1], data_offsets: [0.5, 4.5] } }, 4)],
  [
    /tensor "b" begins at byte 2 of the data, and the one before ends at 4/,
    fileOf({ a: f32At(0, 4), b: f32At(2, 6) }, 6),
  ],
  [
    /tensor "b" begins at byte 0 of the data, and the one before ends at 4/,
    fileOf({ a: f32At(0, 4), b: f32At(0, 4) }, 4),
  ],
  [
    /tensor "b" begins at byte 8 of the data, and the one before ends at 4/,
    fileOf({ a: f32At(0, 4), b: f32At(8, 12) }, 12),
  ],
  [/its tensors end at byte 4 of the data, which has 3/, fileOf({ a: f32At(0, 4) }, 3)],
  [/its tensors end at byte 4 of the data, which has 5/, fileOf({ a: f32At(0, 4) }, 5)],
  [/__metadata__ has "k", which is no string/, fileOf({ __metadata__: { k: 1 } }, 0)],
  [/__metadata__ is no object/, fileOf({ __metadata__: [] }, 0)],
];

describe("decodeSafetensors() of what is none", () => {
  it.each(HOSTILE)("says %s", (says, bytes) => {
    expect(() => decodeSafetensors(bytes)).toThrow(says);
    expect(() => decodeSafetensors(bytes)).toThrow(TypeError);
  });

  it("throws a TypeError or gives tensors, whatever bytes of a file change", () => {
    const file = encodeSafetensors({
      a: { tensor: new Float32Array(6), shape: [2, 3] },
      b: { tensor: new Uint8Array(3), shape: [3] },
    });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(file.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        (changes) => {
          const changed = file.slice();
          for (const [at, value] of changes) changed[at] = value;
          try {
            for (const { tensor } of decodeSafetensors(changed).tensors.values()) viewOf(tensor);
          } catch (error) {
            expect(error).toBeInstanceOf(TypeError);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});

/** The first collective of a checkpoint, with this value; it fails afterwards, as the call of the other ranks does. */
const tell = (group: ProcessGroup, value: unknown) =>
  inTurn(
    group,
    "checkpoint",
    () => {},
    async ({ part }) => {
      await group.allGatherObject(value, part);
      throw new Error("a rank that lies");
    },
  );

describe("checkpoints of a group", () => {
  let owner: GpuExecutor;
  beforeAll(async () => {
    owner = await testExecutor();
  });
  afterAll(() => owner.dispose());

  it.each([1, 2, 4])("are gathered from %i ranks, and are scattered and loaded again", async (size) => {
    const groups = await ranksOf(size, { device: owner.device });
    await fc.assert(
      fc.asyncProperty(models, fc.nat(size - 1), fc.nat(), async (list, root, seed) => {
        const random = new SeededRandom(seed);
        const model = modelOf(list);
        const owners = list.map(() => random.below(size));
        const partOf = (rank: number) => new Map([...model].filter((_, i) => owners[i] === rank));
        const files = await Promise.all(
          groups.map((group) => gatherCheckpoint(group, partOf(group.rank), { root, metadata: { step: "3" } })),
        );
        expect(files.map((file) => file !== null)).toEqual(groups.map(({ rank }) => rank === root));
        const loaded = await Promise.all(groups.map((group) => loadCheckpoint(group, files[group.rank]!, { root })));
        for (const { tensors, metadata } of loaded) {
          expect(plain(tensors)).toEqual(plain(model));
          expect(metadata.get("step")).toBe("3");
        }
        // Every rank wants some, and any may be wanted by several.
        const wanted = groups.map(
          () =>
            new Map(
              [...model]
                .filter(() => random.below(2) === 0)
                .map(([name, { tensor, shape }]) => {
                  const { dtype, byteLength } = viewOf(tensor);
                  return [name, { tensor: hostTensor(dtype, new Uint8Array(byteLength)), shape }] as const;
                }),
            ),
        );
        await Promise.all(
          groups.map((group) => scatterCheckpoint(group, files[group.rank]!, wanted[group.rank]!, { root })),
        );
        for (const ofRank of wanted)
          expect(plain(ofRank)).toEqual(plain(new Map([...model].filter(([name]) => ofRank.has(name)))));
      }),
      { numRuns: 10 },
    );
  });

  it("take tensors in GPUBuffers", async () => {
    const groups = await ranksOf(2, { device: owner.device });
    const values = Float32Array.of(1, 2, 3, 4);
    const onGpu = owner.alloc("f32", 4);
    owner.device.queue.writeBuffer(onGpu.buffer, 0, values);
    const [file] = await Promise.all(
      groups.map((group) => gatherCheckpoint(group, group.rank === 1 ? { w: { tensor: onGpu, shape: [2, 2] } } : {})),
    );
    expect(decodeSafetensors(file!).tensors.get("w")).toEqual({ tensor: values, shape: [2, 2] });
    const target = owner.alloc("f32", 4);
    await Promise.all(
      groups.map((group) =>
        scatterCheckpoint(
          group,
          group.rank === 0 ? file! : null,
          group.rank === 1 ? { w: { tensor: target, shape: [2, 2] } } : {},
        ),
      ),
    );
    expect(await readBytes(groups[1]!, target)).toEqual(new Uint8Array(values.buffer));
  });

  const reasons = (outcomes: readonly PromiseSettledResult<unknown>[]) =>
    outcomes.map((outcome) => (outcome.status === "rejected" ? outcome.reason : null));

  it("are refused on all ranks alike where two give a tensor of one name", async () => {
    const groups = await ranksOf(3);
    const w = { tensor: new Float32Array(1), shape: [1] };
    const errors = reasons(
      await Promise.allSettled(groups.map((group) => gatherCheckpoint(group, group.rank > 0 ? { w } : {}))),
    );
    for (const error of errors) {
      expect(error).toBeInstanceOf(MismatchError);
      expect(error.message).toMatch(/ranks 1 and 2 both give a tensor "w"/);
    }
    await Promise.all(groups.map((group) => group.barrier()));
  });

  it("are refused on all ranks where the file is none, or lacks a wanted tensor", async () => {
    const groups = await ranksOf(3);
    for (const [says, bytes] of HOSTILE) {
      const errors = reasons(
        await Promise.allSettled(groups.map((group) => loadCheckpoint(group, group.rank === 0 ? bytes : null))),
      );
      expect(errors[0]).toBeInstanceOf(TypeError);
      for (const error of errors.slice(1)) expect(error).toBeInstanceOf(ProtocolError);
      for (const error of errors) expect(error.message).toMatch(says);
    }
    const file = encodeSafetensors({ w: { tensor: new Float32Array(2), shape: [2] } });
    const wants: [RegExp, NamedTensors][] = [
      [/has no tensor "v", and rank 2 wants f32 \[2\]/, { v: { tensor: new Float32Array(2), shape: [2] } }],
      [/has "w" as f32 \[2\], and rank 2 wants f32 \[1, 2\]/, { w: { tensor: new Float32Array(2), shape: [1, 2] } }],
      [/has "w" as f32 \[2\], and rank 2 wants u32 \[2\]/, { w: { tensor: new Uint32Array(2), shape: [2] } }],
    ];
    for (const [says, wanted] of wants) {
      const errors = reasons(
        await Promise.allSettled(
          groups.map((group) =>
            scatterCheckpoint(group, group.rank === 0 ? file : null, group.rank === 2 ? wanted : {}),
          ),
        ),
      );
      for (const error of errors) expect(error.message).toMatch(says);
    }
    await Promise.all(groups.map((group) => group.barrier()));
  });

  it("are refused on all ranks where a rank lies about its tensors", async () => {
    const groups = await ranksOf(3);
    const lies: [RegExp, unknown][] = [
      [/rank 1 sent no list of tensors/, 5],
      [/rank 1 sent no list of tensors/, [null]],
      [/rank 1 sent no list of tensors/, [{ name: 1, dtype: "f32", shape: [] }]],
      [/rank 1 sent no list of tensors/, [{ name: "a", dtype: "f33", shape: [] }]],
      [/rank 1 sent no list of tensors/, [{ name: "a", dtype: "f32", shape: [-1] }]],
      [/rank 1 sent no list of tensors/, [{ name: "a", dtype: "f32", shape: [2 ** 30, 2 ** 30] }]],
      [/the tensors of rank 1 have 17179869184 bytes/, [{ name: "a", dtype: "f32", shape: [2 ** 32] }]],
    ];
    for (const [says, lie] of lies) {
      const [first, , last] = reasons(
        await Promise.allSettled(
          groups.map((group) => (group.rank === 1 ? tell(group, lie) : gatherCheckpoint(group, {}))),
        ),
      );
      for (const error of [first, last]) expect(error.message).toMatch(says);
    }
    await Promise.all(groups.map((group) => group.barrier()));
  });

  it("are refused where root lies about the length of its file", async () => {
    const groups = await ranksOf(2);
    for (const length of [-1, 0.5, 2 ** 34, 2 ** 53, "8", null]) {
      const [, error] = reasons(
        await Promise.allSettled(
          groups.map(async (group) => {
            if (group.rank === 1) return loadCheckpoint(group, null);
            return tell(group, [length, []]);
          }),
        ),
      );
      expect(error).toBeInstanceOf(ProtocolError);
      expect(error.message).toMatch(/rank 0 sent .* as the length of its file/);
    }
    await Promise.all(groups.map((group) => group.barrier()));
  });

  it("are refused on all ranks where one cannot read its tensors, and the group goes on", async () => {
    const groups = await ranksOf(3);
    const errors = reasons(
      await Promise.allSettled(
        groups.map(async (group) => {
          const tensor = new Float32Array(4);
          const gathered = gatherCheckpoint(group, { [`of rank ${group.rank}`]: { tensor, shape: [4] } });
          if (group.rank !== 1) return gathered;
          structuredClone(tensor.buffer, { transfer: [tensor.buffer] });
          await expect(gathered).rejects.toThrow(/transferred|detached/);
          // It goes on to a call that looks like the one that the others wait for.
          return group.gather(null, new Uint8Array(16), { root: 0 });
        }),
      ),
    );
    for (const error of errors) expect(error).toBeInstanceOf(MismatchError);
    await Promise.all(groups.map((group) => group.barrier()));
  });

  it("take turns where nobody awaits them", async () => {
    const groups = await ranksOf(2, { device: owner.device });
    const files = await Promise.all(
      groups.flatMap((group) => {
        const name = `of rank ${group.rank}`;
        const slow = group.rank === 1 ? owner.alloc("f32", 4) : new Float32Array(4);
        return [
          gatherCheckpoint(group, { [name]: { tensor: slow, shape: [4] } }),
          gatherCheckpoint(group, { [name]: { tensor: Float32Array.of(1), shape: [1] } }),
        ];
      }),
    );
    const [first, second] = files.map((file) => file && decodeSafetensors(file).tensors.get("of rank 1"));
    expect(first).toEqual({ tensor: new Float32Array(4), shape: [4] });
    expect(second).toEqual({ tensor: Float32Array.of(1), shape: [1] });
  });

  it("refuse wrong arguments, and the group goes on", async () => {
    const [group] = await ranksOf(1);
    const calls: [RegExp, () => Promise<unknown>][] = [
      [
        /gatherCheckpoint: root must be a rank of the group, 0 to 0, got 1/,
        () => gatherCheckpoint(group!, {}, { root: 1 }),
      ],
      [
        /no tensor may have the name __metadata__/,
        () => gatherCheckpoint(group!, { __metadata__: { tensor: new Int8Array(0), shape: [0] } }),
      ],
      [
        /metadata must be an object or a Map, got null/,
        () => gatherCheckpoint(group!, {}, { metadata: null } as never),
      ],
      [/tensors must be an object or a Map, got null/, () => gatherCheckpoint(group!, null as never)],
      [/tensors must be an object or a Map, got a list/, () => gatherCheckpoint(group!, [w] as never)],
      [/w: \{ tensor, shape \} is needed/, () => gatherCheckpoint(group!, { w: null } as never)],
      [/w: \{ tensor, shape \} is needed/, () => scatterCheckpoint(group!, file, { w: w.tensor } as never)],
      [/the name of a tensor must be a string, got 5/, () => gatherCheckpoint(group!, new Map([[5, w]]) as never)],
      [/loadCheckpoint: root gives the file's bytes/, () => loadCheckpoint(group!, null)],
      [/scatterCheckpoint: root gives the file's bytes/, () => scatterCheckpoint(group!, [] as never, {})],
      [
        /loadCheckpoint: unknown option src; did you mean root\?/,
        () => loadCheckpoint(group!, null, { src: 0 } as never),
      ],
    ];
    for (const [says, call] of calls) await expect(call()).rejects.toThrow(says);
    await group!.barrier();
  });

  const file = encodeSafetensors({ w: { tensor: new Float32Array(2), shape: [2] } });
  const w = { tensor: new Float32Array(2), shape: [2] };
  it.each<[string, (group: ProcessGroup, isWrong: boolean) => Promise<unknown>]>([
    ["gatherCheckpoint", (group, isWrong) => gatherCheckpoint(group, isWrong ? { w: { ...w, shape: [3] } } : {})],
    [
      "scatterCheckpoint",
      (group, isWrong) => scatterCheckpoint(group, group.rank === 0 && !isWrong ? file : null, { w }),
    ],
    ["loadCheckpoint", (group, isWrong) => loadCheckpoint(group, group.rank === 0 && !isWrong ? file : null)],
  ])("tell the other ranks where %s refuses its arguments on one", (_, call) => expectToldRefusal(call));
});
