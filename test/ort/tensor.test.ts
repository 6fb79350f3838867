import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UnsupportedError } from "../../src/errors.ts";
import { describe as viewOf } from "../../src/tensor/describe.ts";
import { partOfTensor } from "../../src/tensor/part.ts";
import type { DataType, OrtTensor } from "../../src/types.ts";
import { errorOf, expectWhole } from "../bad-input/helpers.ts";
import { withMemoryGroups } from "../conformance/harness.ts";
import { testExecutor } from "../helpers/gpu.ts";
import { ort } from "./session.ts";

const DTYPES = {
  float32: "f32",
  float64: "f64",
  int8: "i8",
  uint8: "u8",
  int16: "i16",
  uint16: "u16",
  int32: "i32",
  uint32: "u32",
  int64: "i64",
  uint64: "u64",
  bool: "u8",
} as const satisfies Partial<Record<ort.Tensor.Type, DataType>>;

type NumberType = keyof typeof DTYPES;

const SHAPES = fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 4 });
const countOf = (dims: readonly number[]) => dims.reduce((count, length) => count * length, 1);

function numbersOf(type: NumberType, dims: readonly number[], value: number): ort.Tensor {
  const values = Array.from({ length: countOf(dims) }, () => value);
  return type === "int64" || type === "uint64"
    ? new ort.Tensor(type, values.map(BigInt), dims)
    : new ort.Tensor(type, type === "bool" ? values.map(Boolean) : values, dims);
}

describe("an ort.Tensor in host memory", () => {
  it("has the dtype of its type and the count of its dims", () => {
    fc.assert(
      fc.property(fc.constantFrom(...(Object.keys(DTYPES) as NumberType[])), SHAPES, (type, dims) => {
        const tensor = numbersOf(type, dims, 1);
        const view = viewOf(tensor);
        expect(view).toMatchObject({ memory: "host", dtype: DTYPES[type], count: countOf(dims), byteOffset: 0 });
        expect(view.tensor).toBe(tensor);
        expect(view.byteLength).toBe((tensor.data as Uint8Array).byteLength);
      }),
    );
  });

  it("is f16 if it is float16, whose data may be bits", () => {
    const tensor = new ort.Tensor("float16", Uint16Array.of(0x3c00, 0x4000, 0x4200), [3]);
    expect(viewOf(tensor)).toMatchObject({ dtype: "f16", count: 3, byteLength: 6 });
  });

  it("begins where its data begins", () => {
    const tensor = new ort.Tensor("float32", new Float32Array(8).subarray(2, 6), [2, 2]);
    expect(viewOf(tensor)).toMatchObject({ byteOffset: 8, count: 4 });
    expect(partOfTensor(tensor, 1, 2)).toEqual({ data: new Float32Array(2), dtype: "f32" });
  });

  it.each(Object.keys(DTYPES) as NumberType[])("is summed in place by allReduce: %s", async (type) => {
    await withMemoryGroups(3, async (group) => {
      const tensor = numbersOf(type, [2, 3], 1);
      await group.allReduce(tensor, { op: type === "bool" ? "max" : "sum" });
      expect(Array.from(tensor.data as Uint8Array, Number)).toEqual(Array(6).fill(type === "bool" ? 1 : 3));
    });
  });

  it("is taken wherever a tensor is, beside others", async () => {
    const sums = await withMemoryGroups(2, async (group, rank) => {
      const outputs = [new ort.Tensor("int32", new Int32Array(2), [2]), new Int32Array(2)] as const;
      await group.allGather(outputs, new ort.Tensor("int32", [rank, rank + 1], [1, 2]));
      const scalar = new ort.Tensor("float32", [5 * (1 - rank)], []);
      if (rank === 0) await group.send(scalar, 1);
      else await group.recv(scalar, 0);
      return [outputs[0].data, outputs[1], scalar.data].flatMap((numbers) => [...numbers]);
    });
    expect(sums).toEqual([
      [0, 1, 1, 2, 5],
      [0, 1, 1, 2, 5],
    ]);
  });
});

/** What is no `ort.Tensor` that can be had here, by its fields. */
const fake = (fields: Partial<OrtTensor> & { data?: unknown }): OrtTensor =>
  ({
    type: "float32",
    dims: [2],
    size: 2,
    location: "cpu",
    data: new Float32Array(2),
    gpuBuffer: null,
    ...fields,
  }) as OrtTensor;

function disposed(): ort.Tensor {
  const tensor = new ort.Tensor("float32", [1, 2]);
  tensor.dispose();
  return tensor;
}

describe("an ort.Tensor that cannot be used", () => {
  it.each([
    ["a disposed one", disposed(), TypeError, /tensor: the ort.Tensor was disposed/],
    ["text", new ort.Tensor("string", ["a"]), TypeError, /tensor: an ort.Tensor of string has no elements/],
    ["half bytes", new ort.Tensor("uint4", new Uint8Array(1), [2]), TypeError, /an ort.Tensor of uint4/],
    [
      "a texture",
      fake({ location: "texture" }),
      UnsupportedError,
      /tensor: an ort.Tensor in a texture cannot be reached/,
    ],
    ["an MLTensor", fake({ location: "ml-tensor" }), UnsupportedError, /ml-tensor/],
    ["data of another class", fake({ data: new Float64Array(2) }), TypeError, /Float32Array.*Float64Array/],
  ] as const)("is refused, and the group stays whole: %s", async (_, tensor, ErrorClass, says) => {
    await withMemoryGroups(2, async (group) => {
      const error = await errorOf(() => group.allReduce(tensor));
      expect(error).toBeInstanceOf(ErrorClass);
      expect(error.message).toMatch(says);
      await expectWhole(group);
    });
  });
});

describe("an ort.Tensor in a GPUBuffer", () => {
  it("has the count of its dims: 84 bytes lie in 128, and the rest stays as it is", async () => {
    const gpu = await testExecutor();
    const { device } = gpu;
    const [values, readback] = [new Float32Array(32).fill(2), new Float32Array(32)];
    const buffer = device.createBuffer({ size: 128, usage: 0x80 | 0x4 | 0x8 });
    device.queue.writeBuffer(buffer, 0, values);
    const tensor = ort.Tensor.fromGpuBuffer(buffer, { dataType: "float32", dims: [7, 3] });
    expect(viewOf(tensor)).toMatchObject({ memory: "gpu", dtype: "f32", count: 21, byteLength: 84 });
    expect(partOfTensor(tensor, 2, 3)).toEqual({ buffer, dtype: "f32", byteOffset: 8, count: 3 });
    await withMemoryGroups(
      2,
      async (group, rank) => {
        await group.allReduce(rank === 0 ? tensor : new Float32Array(21).fill(5));
        if (rank === 1) return;
        const staging = device.createBuffer({ size: 128, usage: 0x1 | 0x8 });
        const encoder = device.createCommandEncoder();
        encoder.copyBufferToBuffer(buffer, 0, staging, 0, 128);
        device.queue.submit([encoder.finish()]);
        await staging.mapAsync(0x1);
        readback.set(new Float32Array(staging.getMappedRange()));
        staging.destroy();
      },
      { device },
    );
    expect([...readback]).toEqual([...Array(21).fill(7), ...Array(11).fill(2)]);
    buffer.destroy();
    await gpu.dispose();
  });

  it("may have an odd count of float16, and must have the usage that collectives need", async () => {
    const gpu = await testExecutor();
    const bufferOf = (usage: number) => gpu.device.createBuffer({ size: 16, usage });
    const tensorIn = (buffer: GPUBuffer) => ort.Tensor.fromGpuBuffer(buffer, { dataType: "float16", dims: [5] });
    expect(viewOf(tensorIn(bufferOf(0x80 | 0x4 | 0x8)))).toMatchObject({ dtype: "f16", count: 5, byteLength: 10 });
    expect(() => viewOf(tensorIn(bufferOf(0x80)))).toThrow(/f16 tensor needs the usage COPY_SRC and COPY_DST/);
    await gpu.dispose();
  });
});
