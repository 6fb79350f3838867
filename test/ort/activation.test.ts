import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AbortedError, MismatchError, ProtocolError, TimeoutError } from "../../src/errors.ts";
import { recvActivation, sendActivation } from "../../src/ort/index.ts";
import { errorOf, expectWhole } from "../bad-input/helpers.ts";
import { withMemoryGroups } from "../conformance/harness.ts";
import { testExecutor } from "../helpers/gpu.ts";
import { MATMUL } from "./models.ts";
import { createSession, ort } from "./session.ts";

const { Tensor } = ort;

const TYPES = ["float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"] as const;

/** Tensors of every type and of shapes up to eight dims. */
const ACTIVATION = fc
  .record({
    type: fc.constantFrom(...TYPES, "bool" as const),
    dims: fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 8 }),
    first: fc.integer({ min: 0, max: 100 }),
  })
  .map(({ type, dims, first }) => {
    const count = dims.reduce((product, length) => product * length, 1);
    const values = Array.from({ length: count }, (_, i) => (first + i) % 120);
    if (type === "bool")
      return new Tensor(
        type,
        values.map((value) => value % 2 === 1),
        dims,
      );
    return type === "int64" || type === "uint64"
      ? new Tensor(type, values.map(BigInt), dims)
      : new Tensor(type, values, dims);
  });

describe("sendActivation() and recvActivation()", () => {
  it("carry type, dims and data", async () => {
    const tensors = fc.sample(ACTIVATION, 60);
    await withMemoryGroups(2, async (group, rank) => {
      for (const { type, dims, data } of tensors) {
        if (rank === 0) await sendActivation(group, new Tensor(type, data, dims), 1);
        else expect(await recvActivation(group, 0, { Tensor })).toMatchObject({ type, dims, data, location: "cpu" });
      }
    });
  });

  it("carry float16 bit by bit", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      const bits = Uint16Array.of(0x3c00, 0x7e01, 0xfc00);
      if (rank === 0) return sendActivation(group, new Tensor("float16", bits, [3]), 1);
      const { data } = await recvActivation(group, 0, { Tensor });
      expect(new Uint16Array((data as Uint16Array).buffer)).toEqual(bits);
    });
  });

  it("keep the order of calls that wait together, by source and tag", async () => {
    await withMemoryGroups(3, async (group, rank) => {
      const numbers = [0, 1, 2, 3];
      if (rank > 0) {
        await Promise.all(
          numbers.map((i) =>
            sendActivation(group, new Tensor("int32", Array(i + 1).fill(10 * rank + i), [i + 1]), 0, { tag: i % 2 }),
          ),
        );
        return;
      }
      const results = await Promise.all(
        [1, 2].flatMap((src) => numbers.map((i) => recvActivation(group, src, { Tensor, tag: i % 2 }))),
      );
      expect(results.map(({ data }) => [...(data as Int32Array)])).toEqual(
        [1, 2].flatMap((src) => numbers.map((i) => Array(i + 1).fill(10 * src + i))),
      );
    });
  });

  it("pass a model's stages on, whose result is that of one process", async () => {
    const session = await createSession(MATMUL);
    const stage = (x: ort.Tensor, rank: number) =>
      session.run({ x, w: new Tensor("float32", [1, rank + 1, -1, 2], [2, 2]) }).then(({ y }) => y as ort.Tensor);
    const x = new Tensor("float32", [1, 2, 3, 4, 5, 6], [3, 2]);
    const expected = await stage(await stage(await stage(x, 0), 1), 2);
    await withMemoryGroups(3, async (group, rank) => {
      const input = rank === 0 ? x : await recvActivation(group, rank - 1, { Tensor });
      const output = await stage(input, rank);
      if (rank < 2) return sendActivation(group, output, rank + 1);
      expect(output.data).toEqual(expected.data);
    });
  });

  it("put it into a GPUBuffer where that is wanted, which dispose() destroys", async () => {
    const gpu = await testExecutor();
    const { device } = gpu;
    const created: GPUBuffer[] = [];
    const createBuffer = device.createBuffer.bind(device);
    device.createBuffer = (descriptor) => {
      const buffer = createBuffer(descriptor);
      created.push(buffer);
      return buffer;
    };
    await withMemoryGroups(
      2,
      async (group, rank) => {
        for (const dims of [[7, 3], [1], [0, 2]]) {
          const values = Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => i);
          const sent = new Tensor("float32", values, dims);
          if (rank === 0) {
            await sendActivation(group, sent, 1);
            continue;
          }
          const received = await recvActivation(group, 0, { Tensor, location: "gpu-buffer" });
          expect(received).toMatchObject({ location: "gpu-buffer", dims });
          const { gpuBuffer } = received;
          expect(created).toContain(gpuBuffer);
          await group.send(received, 0, { tag: 1 });
          expect(await received.getData(true)).toEqual(sent.data);
        }
        if (rank === 0) for (const count of [21, 1, 0]) await group.recv(new Float32Array(count), 1, { tag: 1 });
        // ONNX Runtime has no float64 on the GPU.
        if (rank === 0) await sendActivation(group, new Tensor("float64", [3], []), 1);
        else expect((await recvActivation(group, 0, { Tensor, location: "gpu-buffer" })).location).toBe("cpu");
      },
      { device, backend: "webgpu" },
    );
    await gpu.dispose();
  });
});

describe("sendActivation()", () => {
  const disposed = new Tensor("float32", [1]);
  disposed.dispose();

  it.each([
    ["a disposed tensor", disposed, TypeError, /tensor: the ort.Tensor was disposed/],
    ["text", new Tensor("string", ["a"]), TypeError, /tensor: an ort.Tensor of string has no elements of a dtype/],
    ["nine dims", new Tensor("float32", [1], Array(9).fill(1)), RangeError, /at most 8 dims/],
    ["a long empty one", new Tensor("float32", new Float32Array(0), [0, 2 ** 32]), RangeError, /below 2\^32/],
    ["what is no ort.Tensor", new Float32Array(1) as unknown as ort.Tensor, TypeError, /must be an ort.Tensor/],
  ] as const)("refuses %s before a byte is sent", async (_, tensor, ErrorClass, says) => {
    await withMemoryGroups(2, async (group, rank) => {
      if (rank === 0) {
        const error = await errorOf(() => sendActivation(group, tensor, 1));
        expect(error).toBeInstanceOf(ErrorClass);
        expect(error.message).toMatch(says);
        await sendActivation(group, new Tensor("int8", [5], [1]), 1);
      } else expect((await recvActivation(group, 0, { Tensor })).data).toEqual(Int8Array.of(5));
      await expectWhole(group);
    });
  });
});

describe("recvActivation()", () => {
  it.each([
    [{ Tensor, location: "gpu-buffer" as const }, TypeError, /needs a GPU/],
    [{ Tensor, location: "texture" as "cpu" }, TypeError, /location must be "cpu" or "gpu-buffer", got texture/],
    [{ Tensor, mostBytes: Number.NaN }, RangeError, /mostBytes must be a whole number, got NaN/],
    [
      { tensor: Tensor } as unknown as { Tensor: typeof Tensor },
      TypeError,
      /unknown option tensor; did you mean Tensor/,
    ],
    [{} as { Tensor: typeof Tensor }, TypeError, /Tensor must be ort.Tensor/],
  ])("refuses wrong options, and the group stays whole (%#)", async (options, ErrorClass, says) => {
    await withMemoryGroups(2, async (group) => {
      const error = await errorOf(() => recvActivation(group, 1 - group.rank, options));
      expect(error).toBeInstanceOf(ErrorClass);
      expect(error.message).toMatch(says);
      await expectWhole(group);
    });
  });

  it("is withdrawn by its signal while an earlier call waits, and receives nothing", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      if (rank === 0) {
        await group.recv(new Uint8Array(1), 1, { tag: 9 });
        for (const value of [1, 2]) await sendActivation(group, new Tensor("int8", [value], [1]), 1);
        return;
      }
      const controller = new AbortController();
      const first = recvActivation(group, 0, { Tensor });
      const withdrawn = recvActivation(group, 0, { Tensor, signal: controller.signal });
      const late = recvActivation(group, 0, { Tensor, signal: AbortSignal.abort("enough") });
      const last = recvActivation(group, 0, { Tensor, signal: new AbortController().signal, timeoutMs: 10_000 });
      controller.abort("enough");
      for (const call of [withdrawn, late]) {
        const error = await errorOf(() => call);
        expect(error).toBeInstanceOf(AbortedError);
        expect(error.message).toMatch(/enough/);
      }
      await group.send(new Uint8Array(1), 0, { tag: 9 });
      expect((await Promise.all([first, last])).map(({ data }) => [...(data as Int8Array)])).toEqual([[1], [2]]);
    });
  });

  it("ends the group when its time is up while an earlier call waits", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      if (rank === 0) {
        expect(await errorOf(() => group.barrier())).toBeInstanceOf(TimeoutError);
        return;
      }
      const first = errorOf(() => recvActivation(group, 0, { Tensor }));
      const error = await errorOf(() => recvActivation(group, 0, { Tensor, timeoutMs: 1 }));
      expect(error).toMatchObject({ name: "TimeoutError", missingRanks: [0] });
      expect(error.message).toMatch(/recvActivation on rank 1 did not end within 1 ms; missing: rank 0/);
      expect(await first).toBeInstanceOf(TimeoutError);
    });
  });

  it.each([
    ["a type that is none", [12, 1, 4], /announced no tensor/],
    ["more dims than there may be", [0, 9], /announced no tensor/],
    ["dims behind the last", [0, 1, 4, 4], /float32 tensor of \[4\]/],
    [
      "too many bytes",
      [0, 2, 2 ** 31, 2 ** 31],
      /float32 tensor of \[2147483648,2147483648\], 18446744073709552000 bytes; 1073741824 are/,
    ],
    ["any numbers", [0xffffffff, 0xffffffff, ...Array(8).fill(0xffffffff)], /announced no tensor/],
    ["dims whose product is no number", [0, 8, 0, ...Array(7).fill(0xffffffff)], null],
  ] as const)("survives a header of %s", async (_, words, says) => {
    await withMemoryGroups(2, async (group, rank) => {
      const header = new Uint32Array(10);
      header.set(words);
      if (rank === 0) {
        await group.send(header, 1);
        if (says === null) await group.send(new Float32Array(0), 1);
        else expect(await errorOf(() => group.barrier())).toMatchObject({ message: expect.stringMatching(says) });
        return;
      }
      if (says === null) {
        expect((await recvActivation(group, 0, { Tensor })).dims).toEqual(words.slice(2));
        return;
      }
      const error = await errorOf(() => recvActivation(group, 0, { Tensor }));
      expect(error).toBeInstanceOf(ProtocolError);
      expect(error.message).toMatch(says);
      expect(error.message).toMatch(/rank 0 announced .*The group is dead/);
      expect(await errorOf(() => recvActivation(group, 0, { Tensor }))).toBeInstanceOf(ProtocolError);
    });
  });

  it("rejects where the peer sent something else, and the group stays whole", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      // A short message may have been sent before it is known that it does not fit.
      if (rank === 0) await Promise.allSettled([group.send(new Float32Array(4), 1)]);
      else expect(await errorOf(() => recvActivation(group, 0, { Tensor }))).toBeInstanceOf(MismatchError);
      await expectWhole(group);
    });
  });

  it("may be withdrawn by its signal before anything came, and later calls go on", async () => {
    await withMemoryGroups(2, async (group, rank) => {
      if (rank === 1) {
        const controller = new AbortController();
        const first = errorOf(() => recvActivation(group, 0, { Tensor, signal: controller.signal }));
        const second = recvActivation(group, 0, { Tensor });
        controller.abort();
        expect((await first).message).toMatch(/abort/i);
        await group.barrier();
        expect((await second).data).toEqual(Int8Array.of(7));
      } else {
        await group.barrier();
        await sendActivation(group, new Tensor("int8", [7], [1]), 1);
      }
      await expectWhole(group);
    });
  });
});
