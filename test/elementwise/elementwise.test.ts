import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { Elementwise } from "../../src/elementwise/elementwise.ts";
import { runGpuProgram } from "../../src/elementwise/gpu-program.ts";
import { UnsupportedError } from "../../src/errors.ts";
import { describe as describeTensor } from "../../src/tensor/describe.ts";
import { describeGpu } from "../../src/tensor/gpu.ts";
import { tensorOver } from "../../src/tensor/host.ts";
import { gpuMemory } from "../../src/testing/gpu-memory.ts";
import { arrayOf, decodeSmallFloat, encodeSmallFloat, isSmallFloat } from "../../src/testing/reference.ts";
import { DATA_TYPES, type DataType, type GpuTensor, type HostArray, type Tensor } from "../../src/types.ts";
import { defaultDevice } from "../helpers/gpu.ts";

const FLOATS = ["f8e4m3", "f8e5m2", "f16", "bf16", "f32", "f64"] as const;
const NARROW = FLOATS.filter((dtype) => dtype !== "f64");
const STEPS = {
  add: (a: number, b: number) => a + b,
  subtract: (a: number, b: number) => a - b,
  multiply: (a: number, b: number) => a * b,
};
const NAMES = ["add", "subtract", "multiply"] as const;

let device: GPUDevice;
const host = new Elementwise(null);
let gpu: Elementwise;
beforeAll(async () => {
  device = await defaultDevice();
  gpu = new Elementwise(device);
});

/** The elements nearest to `values`, by a converter that shares nothing with the library's. */
function encode(dtype: DataType, values: readonly number[]): HostArray {
  const array = arrayOf(dtype, values.length) as { [i: number]: number } & HostArray;
  values.forEach((value, i) => {
    array[i] = isSmallFloat(dtype) ? encodeSmallFloat(dtype, value) : value;
  });
  return array;
}

function decode(dtype: DataType, array: HostArray): number[] {
  return Array.from(array as Float64Array, (bits) => (isSmallFloat(dtype) ? decodeSmallFloat(dtype, bits) : bits));
}

const tensorOf = (dtype: DataType, values: readonly number[]) => tensorOver(dtype, encode(dtype, values));

function bytesOf(tensor: Tensor): Uint8Array {
  const view = describeTensor(tensor);
  return new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength);
}

/** The elements in an array of their bits, every NaN as 999. */
function elementsOf(tensor: Tensor): number[] {
  const { dtype, count } = describeTensor(tensor);
  const array = arrayOf(dtype, count);
  new Uint8Array(array.buffer as ArrayBuffer).set(bytesOf(tensor));
  return decode(dtype, array);
}

function onGpu(tensor: Tensor, byteOffset = 0): GpuTensor {
  const { dtype, count } = describeTensor(tensor);
  const bytes = bytesOf(tensor);
  const region = new Uint8Array(byteOffset + Math.ceil(bytes.length / 4) * 4 + 4).fill(0xa5);
  region.set(bytes, byteOffset);
  const memory = gpuMemory(device);
  const { tensor: placed } = memory.place(dtype, region, byteOffset, byteOffset + bytes.length);
  expect((placed as GpuTensor).count).toBe(count);
  return placed as GpuTensor;
}

async function fromGpu(tensor: Tensor): Promise<Uint8Array> {
  const view = describeGpu(tensor as GpuTensor);
  const [region] = await gpuMemory(device).collect([{ tensor, part: () => null, refill() {} }]);
  return (region as Uint8Array).slice(view.byteOffset, view.byteOffset + view.byteLength);
}

/** Floats without subnormals of f32: zeros, infinities, NaN, ties and numbers of all sizes. */
const value = fc.oneof(
  fc.constantFrom(0, -0, 1, -1, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, 448, 464, 465, 65_519),
  fc.integer({ min: -4096, max: 4096 }).map((whole) => whole / 32),
  fc
    .tuple(fc.integer({ min: -(2 ** 24), max: 2 ** 24 }), fc.integer({ min: -40, max: 10 }))
    .map(([m, e]) => m * 2 ** e),
);
const values = fc.array(value, { minLength: 1, maxLength: 40 });
const pairs = fc.array(fc.tuple(value, value), { minLength: 1, maxLength: 40 });
const RUNS = { numRuns: 25 };

/** Compares bits, NaNs included: both sides make every NaN the canonical one. */
const expectSame = (actual: Uint8Array, expected: Uint8Array) => expect([...actual]).toEqual([...expected]);
const canonical = (dtype: DataType, numbers: readonly number[]) =>
  bytesOf(host.convert(tensorOf(dtype, numbers), dtype));

describe("Elementwise", () => {
  it.each(FLOATS)("adds, subtracts and multiplies %s as the reference does", (dtype) => {
    fc.assert(
      fc.property(pairs, fc.constantFrom(...NAMES), (drawn, name) => {
        const [a, b] = [
          tensorOf(
            dtype,
            drawn.map(([x]) => x),
          ),
          tensorOf(
            dtype,
            drawn.map(([, y]) => y),
          ),
        ];
        const expected = elementsOf(a).map((x, i) => STEPS[name](x, elementsOf(b)[i] as number));
        expectSame(bytesOf(host[name](a, b)), canonical(dtype, expected));
        expectSame(bytesOf(host[name](a, b, a)), canonical(dtype, expected));
      }),
    );
  });

  it.each(DATA_TYPES.filter((dtype) => /^[iu]/.test(dtype)))("wraps %s", (dtype) => {
    const big = dtype.endsWith("64");
    const bits = Number(dtype.slice(1));
    const wrap = (x: bigint) => (dtype.startsWith("i") ? BigInt.asIntN(bits, x) : BigInt.asUintN(bits, x));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.bigInt(-(2n ** 70n), 2n ** 70n), fc.bigInt(-(2n ** 70n), 2n ** 70n))),
        (drawn) => {
          const make = (side: 0 | 1) => {
            const array = arrayOf(dtype, drawn.length) as unknown as { [i: number]: number | bigint };
            drawn.forEach((pair, i) => {
              array[i] = big ? wrap(pair[side]) : Number(wrap(pair[side]));
            });
            return array as unknown as HostArray;
          };
          const [a, b] = [make(0), make(1)];
          const read = (tensor: Tensor) => Array.from(tensor as BigInt64Array, (x) => BigInt(x));
          const steps = {
            add: (x: bigint, y: bigint) => x + y,
            subtract: (x: bigint, y: bigint) => x - y,
            multiply: (x: bigint, y: bigint) => x * y,
          };
          for (const name of NAMES) {
            expect(read(host[name](a, b))).toEqual(drawn.map(([x, y]) => wrap(steps[name](wrap(x), wrap(y)))));
          }
          expect(read(host.scale(a, -3))).toEqual(drawn.map(([x]) => wrap(wrap(x) * -3n)));
        },
      ),
    );
  });

  it.each(NARROW)("gives the host's bits for %s in a GPUBuffer", async (dtype) => {
    await fc.assert(
      fc.asyncProperty(pairs, value, fc.constantFrom(0, 4, 256, 260), async (drawn, factor, at) => {
        const [a, b] = [
          tensorOf(
            dtype,
            drawn.map(([x]) => x),
          ),
          tensorOf(
            dtype,
            drawn.map(([, y]) => y),
          ),
        ];
        const [x, y] = [onGpu(a, at), onGpu(b)];
        for (const name of NAMES) expectSame(await fromGpu(gpu[name](x, y)), bytesOf(host[name](a, b)));
        expectSame(await fromGpu(gpu.scale(x, factor)), bytesOf(host.scale(a, factor)));
        expectSame(await fromGpu(gpu.add(onGpu(a, at), x)), bytesOf(host.add(a, a)));
        const owner = Int32Array.from(drawn, (_, at) => at % 3);
        const owners = onGpu(owner);
        gpu.claim(owners, x, y, 2);
        host.claim(owner, a, b, 2);
        expectSame(await fromGpu(gpu.whereOwner(x, owners, 2)), bytesOf(host.whereOwner(a, owner, 2)));
        expectSame(await fromGpu(owners), bytesOf(owner));
      }),
      RUNS,
    );
  });

  it("computes in place where the target is an operand in a GPUBuffer", async () => {
    const a = tensorOf("bf16", [1, 2, 3]);
    const x = onGpu(a, 4);
    expect(gpu.multiply(x, x, x)).toBe(x);
    expectSame(await fromGpu(x), bytesOf(tensorOf("bf16", [1, 4, 9])));
  });

  it.each(FLOATS)("converts %s to every other float, to nearest even", (from) => {
    fc.assert(
      fc.property(values, fc.constantFrom(...FLOATS), (drawn, to) => {
        const a = tensorOf(from, drawn);
        // By way of f32, as docs/arithmetic.md says of all that becomes shorter.
        const expected = elementsOf(a).map((x) => (to === "f64" ? x : Math.fround(x)));
        const result = host.convert(a, to);
        expect(describeTensor(result).dtype).toBe(to);
        expect(elementsOf(result)).toEqual(decode(to, encode(to, expected)));
      }),
    );
  });

  it.each(NARROW)("converts %s in a GPUBuffer to the host's bits", async (from) => {
    await fc.assert(
      fc.asyncProperty(values, fc.constantFrom(...NARROW), async (drawn, to) => {
        // A copy keeps a NaN's payload, a conversion does not.
        const a = host.convert(tensorOf(from, drawn), from);
        const target = onGpu(
          tensorOf(
            to,
            drawn.map(() => 7),
          ),
          4,
        );
        expectSame(await fromGpu(gpu.convert(onGpu(a), to, target)), bytesOf(host.convert(a, to)));
      }),
      RUNS,
    );
  });

  it.each(DATA_TYPES)("slices and joins %s at any element, in both memories", async (dtype) => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(9), { minLength: 1, maxLength: 4 }), async (counts) => {
        const count = counts.reduce((sum, n) => sum + n, 0);
        const whole = tensorOver(dtype, arrayOf(dtype, count));
        bytesOf(whole).forEach((_, i, bytes) => {
          bytes[i] = (i * 37 + 11) % 256;
        });
        const wholeOnGpu = onGpu(whole, 4);
        for (const [math, tensor, read] of [
          [host, whole, async (t: Tensor) => bytesOf(t)] as const,
          [gpu, wholeOnGpu, fromGpu] as const,
        ]) {
          const startOf = (part: number) => counts.slice(0, part).reduce((sum, n) => sum + n, 0);
          const parts = counts.map((n, part) => math.slice(tensor, startOf(part), n));
          expectSame(await read(math.concat(parts as [Tensor, ...Tensor[]])), bytesOf(whole));
        }
      }),
      RUNS,
    );
  });

  it("claims elements by their bits, where nobody has: −0 is not 0, a NaN is any NaN", () => {
    const x = Float32Array.of(0, -0, Number.NaN, 1, 5);
    const y = Float32Array.of(-0, -0, Number.NaN, 2, 5);
    const owner = Int32Array.of(0, 0, 0, 0, 9);
    host.claim(owner, x, y, 3);
    expect(owner).toEqual(Int32Array.of(0, 3, 3, 0, 9));
    expect(host.whereOwner(x, owner, 9)).toEqual(Float32Array.of(0, 0, 0, 0, 5));
  });

  it("names the trouble", () => {
    const wide = device.createBuffer({ size: 16, usage: 0x8c });
    expect(() => gpu.add({ buffer: wide, dtype: "f64" }, { buffer: wide, dtype: "f64" })).toThrow(UnsupportedError);
    expect(() => gpu.add({ buffer: wide, dtype: "f64" }, { buffer: wide, dtype: "f64" })).toThrow(
      /add of f64.*host array/,
    );
    expect(() => gpu.scale({ buffer: wide, dtype: "i32" }, 2)).toThrow(/scale of i32/);
    expect(() => host.cloneOf({ buffer: wide, dtype: "f32" })).toThrow(/no GPUDevice/);
    expect(() => gpu.add({ buffer: wide, dtype: "f32" }, new Float32Array(4))).toThrow(
      /gpu memory and another in host/,
    );
    expect(() => host.add(new Float32Array(2), new Float32Array(3))).toThrow(/count of one tensor is 2/);
    expect(() => host.add(new Float32Array(2), new Float64Array(2))).toThrow(/dtype of one tensor is f32/);
    expect(() => host.convert(new Int32Array(2), "f32")).toThrow(/i32 is no float/);
    expect(() => host.scale(new Int32Array(2), 0.5)).toThrow(/whole factor/);
    expect(() => host.slice(new Int32Array(2), 1, 2)).toThrow(/elements 1 to 3 of a tensor that has 2/);
    const cuda = {
      byteLength: 8,
      device: 0,
      disposed: false,
      copyFrom: async () => {},
      copyTo: async () => {},
      dispose() {},
    };
    expect(() => host.cloneOf({ cuda, dtype: "f32" })).toThrow(/CudaTensor/);
  });
});

describe("runGpuProgram()", () => {
  it("runs a shader over more workgroups than one dimension has, with uniforms of both types", async () => {
    const count = 256 * 65_535 + 300;
    const out = gpu.zerosLike({ buffer: device.createBuffer({ size: 4, usage: 0x8c }), dtype: "f32" }, { count });
    runGpuProgram(device, {
      code: "fn run(i: u32) { set_out_word(i, bitcast<u32>(f32(i % params.cycle) * params.step)); }",
      tensors: { out: describeGpu(out as GpuTensor) },
      writes: ["out"],
      u32: { cycle: 1000 },
      f32: { step: 0.5 },
      invocations: count,
    });
    const result = new Float32Array((await fromGpu(out)).buffer);
    expect(result.findIndex((x, i) => x !== (i % 1000) / 2)).toBe(-1);
  });

  it("refuses more memory or more buffers than the device binds", () => {
    const buffers = Array.from({ length: 9 }, () => device.createBuffer({ size: 4, usage: 0x8c }));
    const views = buffers.map((buffer) => describeGpu({ buffer, dtype: "f32" }));
    const tensors = Object.fromEntries(views.map((view, i) => [`t${i}`, view]));
    const program = { code: "fn run(i: u32) {}", writes: [], invocations: 1 };
    expect(() => runGpuProgram(device, { ...program, tensors })).toThrow(/9 GPUBuffers.*binds 8/);
    const long = device.createBuffer({ size: 2 ** 27 + 4, usage: 0x8c });
    const view = describeGpu({ buffer: long, dtype: "f32" });
    expect(() => runGpuProgram(device, { ...program, tensors: { long: view } })).toThrow(/binds 134217728 at once/);
    long.destroy();
  });
});
