import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { createCpuExecutor } from "../../src/executor/cpu/cpu-executor.ts";
import { OUTSIDE } from "../../src/executor/cpu/host-span.ts";
import type { Executor, HostExecutor } from "../../src/executor/executor.ts";
import { ReduceOp } from "../../src/reduce-op.ts";
import { describe as viewOf } from "../../src/tensor/describe.ts";
import {
  bytesPerElement,
  DATA_TYPES,
  type DataType,
  type GpuTensor,
  type HostArray,
  type Tensor,
} from "../../src/types.ts";

let executor: HostExecutor;
beforeAll(async () => {
  executor = await createCpuExecutor();
  await executor.loadRareLoops();
});
afterEach(() => {
  vi.unstubAllGlobals();
});

/** The typed array of a tensor. */
function arrayOf(tensor: Tensor | GpuTensor): HostArray {
  if (ArrayBuffer.isView(tensor)) return tensor;
  if (!("data" in tensor)) throw new TypeError("the tensor is in GPU memory");
  return tensor.data;
}

function sumOf(executor: Executor, left: HostArray, right: HostArray): void {
  const target = executor.span(viewOf(left));
  executor.reduce(ReduceOp.SUM, target, target, executor.span(viewOf(right)));
}

describe("createCpuExecutor", () => {
  it("runs plain loops when asked to, and says so", async () => {
    const plain = await createCpuExecutor({ wasm: false });
    await plain.loadRareLoops();
    expect(plain.description).toBe("plain loops: WebAssembly is switched off");
    const sum = Float32Array.of(1, 2, 3);
    sumOf(plain, sum, Float32Array.of(10, 20, 30));
    expect(sum).toEqual(Float32Array.of(11, 22, 33));
  });

  it("runs plain loops with the same arithmetic where a policy blocks WebAssembly, and says so", async () => {
    // A real one: V8 forbids code generation in this context, as a page's content security policy does.
    const blocked = runInNewContext("WebAssembly", {}, { contextCodeGeneration: { wasm: false } });
    vi.stubGlobal("WebAssembly", blocked);
    const plain = await createCpuExecutor();
    await plain.loadRareLoops();
    expect(plain.description).toMatch(/^plain loops: WebAssembly is blocked \(.*disallowed/);
    expect(plain.arithmeticId).toBe(executor.arithmeticId);
    const sum = new Int16Array(1000).fill(7);
    sumOf(plain, sum, new Int16Array(1000).fill(-9));
    expect(sum.every((x) => x === -2)).toBe(true);
  });

  it("runs plain loops where there is no WebAssembly", async () => {
    vi.stubGlobal("WebAssembly", undefined);
    expect((await createCpuExecutor()).description).toBe("plain loops: WebAssembly is missing");
  });

  it.each(["crossOriginIsolated", "SharedArrayBuffer"])(
    "keeps to memory that is not shared without %s",
    async (name) => {
      vi.stubGlobal(name, name === "crossOriginIsolated" ? false : undefined);
      const unshared = await createCpuExecutor();
      await unshared.loadRareLoops();
      vi.unstubAllGlobals();
      expect(unshared.description).toBe("wasm-simd, memory not shared");
      expect(unshared.arithmeticId).toBe(executor.arithmeticId);
      // Some of these fit into its 16 MiB, the last do not and lie outside.
      const count = 1_000_000;
      const spans = Array.from({ length: 6 }, () => unshared.scratch("f32", count));
      spans.forEach((span, i) => {
        unshared.fill(span, i);
      });
      for (const span of spans.slice(1)) unshared.reduce(ReduceOp.SUM, spans[0]!, spans[0]!, span);
      const result = unshared.receive(spans[0]!).bytes;
      expect(new Float32Array(result.buffer, result.byteOffset, count).every((x) => x === 15)).toBe(true);
      expect(spans.some((span) => (span as unknown as { pointer: number }).pointer === OUTSIDE)).toBe(true);
      expect(spans.some((span) => (span as unknown as { pointer: number }).pointer !== OUTSIDE)).toBe(true);
      for (const span of spans) unshared.release(span);
      const own = arrayOf(unshared.alloc("f32", 100));
      expect(own.buffer).toBeInstanceOf(ArrayBuffer);
    },
  );
});

describe("arithmeticId", () => {
  it("is one short text, the same for WebAssembly and plain loops", async () => {
    const plain = await createCpuExecutor({ wasm: false });
    await plain.loadRareLoops();
    expect(executor.arithmeticId).toMatch(/^[0-9a-f]{16}$/);
    expect(plain.arithmeticId).toBe(executor.arithmeticId);
  });
});

describe("span", () => {
  const classes: [DataType, HostArray][] = [
    ["i8", new Int8Array(5)],
    ["u8", new Uint8Array(5)],
    ["i16", new Int16Array(5)],
    ["u16", new Uint16Array(5)],
    ["i32", new Int32Array(5)],
    ["u32", new Uint32Array(5)],
    ["i64", new BigInt64Array(5)],
    ["u64", new BigUint64Array(5)],
    ["f32", new Float32Array(5)],
    ["f64", new Float64Array(5)],
  ];

  it.each(classes)("takes a bare %s array and a named one", (dtype, data) => {
    const expected = { dtype, count: 5, byteLength: 5 * bytesPerElement(dtype) };
    expect(viewOf(data).memory).toBe(executor.memoryKind);
    expect(executor.span(viewOf(data))).toMatchObject(expected);
    expect(executor.span(viewOf({ data, dtype }))).toMatchObject(expected);
  });

  it.each(["f16", "bf16"] as const)("takes %s as bits in a Uint16Array", (dtype) => {
    expect(executor.span(viewOf({ data: new Uint16Array(3), dtype }))).toMatchObject({
      dtype,
      count: 3,
      byteLength: 6,
    });
  });

  it("takes subarrays, empty arrays, shared arrays, and arrays of another realm", () => {
    const whole = Float32Array.of(1, 2, 3, 4);
    sumOf(executor, whole.subarray(1, 3), Float32Array.of(10, 20));
    expect(whole).toEqual(Float32Array.of(1, 12, 23, 4));
    expect(executor.span(viewOf(new Float64Array(0)))).toMatchObject({ dtype: "f64", count: 0 });
    expect(executor.span(viewOf(new Int32Array(new SharedArrayBuffer(16))))).toMatchObject({ dtype: "i32", count: 4 });
    expect(executor.span(viewOf(runInNewContext("new Float32Array(2)")))).toMatchObject({ dtype: "f32", count: 2 });
    expect(executor.span(viewOf(Buffer.from("abc")))).toMatchObject({ dtype: "u8", count: 3 });
  });

  it("takes a bare Float16Array as f16", () => {
    // Runtimes without the class get its bits under its name, which is all that is looked at.
    const { Float16Array } = globalThis as { Float16Array?: new (length: number) => HostArray };
    const data = Float16Array
      ? new Float16Array(3)
      : Object.defineProperty(new Uint16Array(3), Symbol.toStringTag, { value: "Float16Array" });
    expect(executor.span(viewOf(data))).toMatchObject({ dtype: "f16", count: 3, byteLength: 6 });
    expect(executor.span(viewOf({ data, dtype: "f16" }))).toMatchObject({ dtype: "f16", count: 3 });
    expect(() => executor.span(viewOf({ data, dtype: "bf16" }))).toThrow(
      "a bf16 tensor holds its elements in a Uint16Array",
    );
  });

  const mistakes: [string, unknown, string | RegExp][] = [
    ["undefined", undefined, "the tensor is undefined"],
    ["null", null, "the tensor is null"],
    ["a number", 7, "a value of type number is not a tensor"],
    ["an array", [1, 2, 3], "Float32Array.from(array)"],
    ["an ArrayBuffer", new ArrayBuffer(8), "pass a typed array over it"],
    ["a DataView", new DataView(new ArrayBuffer(8)), "pass a typed array over its buffer"],
    ["a Uint8ClampedArray", new Uint8ClampedArray(8), "pass a Uint8Array over its buffer"],
    ["a named array", { data: [1, 2], dtype: "f32" }, "data is not a typed array"],
    ["a wrong dtype", { data: new Float32Array(2), dtype: "float" }, "float is not a dtype: use one of i8, u8"],
    ["no dtype", { data: new Float32Array(2) }, 'pass data alone, or { data, dtype: "f32" }'],
    [
      "a dtype of another class",
      { data: new Float32Array(2), dtype: "i32" },
      /i32 .* Int32Array, and data is a Float32Array/,
    ],
    ["f16 in a Float32Array", { data: new Float32Array(2), dtype: "f16" }, /f16 .* Uint16Array/],
    ["a named DataView", { data: new DataView(new ArrayBuffer(8)), dtype: "u8" }, "DataView"],
  ];
  it.each(mistakes)("refuses %s and says what to pass", (_name, tensor, message) => {
    expect(() => executor.span(viewOf(tensor as Tensor))).toThrow(TypeError);
    expect(() => executor.span(viewOf(tensor as Tensor))).toThrow(message);
  });

  it("refuses an array whose buffer is detached", () => {
    const data = new Float32Array(8);
    structuredClone(data.buffer, { transfer: [data.buffer] });
    expect(() => executor.span(viewOf(data))).toThrow(/^the f32 tensor's buffer is detached/);
    expect(() => executor.span(viewOf({ data, dtype: "f32" }))).toThrow(TypeError);
  });

  it("refuses an array that its buffer has become too short for", () => {
    const ResizableBuffer = ArrayBuffer as unknown as new (
      bytes: number,
      options: object,
    ) => ArrayBuffer & { resize(bytes: number): void };
    const buffer = new ResizableBuffer(64, { maxByteLength: 64 });
    const [whole, end, tracking] = [
      new Float32Array(buffer, 0, 16),
      new Float32Array(buffer, 32, 2),
      new Float32Array(buffer),
    ];
    buffer.resize(16);
    for (const data of [whole, end]) {
      expect(() => executor.span(viewOf(data))).toThrow(/^the f32 tensor lies beyond the end of its buffer/);
    }
    expect(executor.span(viewOf(tracking)).count).toBe(4);
    buffer.resize(0);
    expect(() => executor.span(viewOf(whole))).toThrow(TypeError);
  });
});

describe("slice", () => {
  it("shares memory with its span", () => {
    const data = Int32Array.of(1, 2, 3, 4, 5);
    executor.fill(executor.slice(executor.slice(executor.span(viewOf(data)), 1, 4), 1, 2), -7);
    expect(data).toEqual(Int32Array.of(1, 2, -7, -7, 5));
  });

  it("refuses what lies outside", () => {
    const span = executor.span(viewOf(new Int32Array(5)));
    for (const [start, count] of [
      [-1, 2],
      [0, 6],
      [5, 1],
      [2, -1],
    ] as const) {
      expect(() => executor.slice(span, start, count)).toThrow(RangeError);
    }
    expect(executor.slice(span, 5, 0).count).toBe(0);
  });
});

describe("read, receive, write and copy", () => {
  it("lend the tensor's own bytes, so nothing is copied", () => {
    const data = Uint16Array.of(0x0102, 0x0304);
    const span = executor.span(viewOf(data));
    const lease = executor.read(span) as { bytes: Uint8Array };
    expect([...lease.bytes]).toEqual([2, 1, 4, 3]);
    expect(lease.bytes.buffer).toBe(data.buffer);
    const room = executor.receive(span);
    room.bytes.set([9, 0, 8, 0]);
    executor.write(span, room);
    expect([...data]).toEqual([9, 8]);
  });

  it("write the bytes of a lease that is not the span's own", () => {
    const data = new Uint8Array(3);
    let released = 0;
    executor.write(executor.span(viewOf(data)), { bytes: Uint8Array.of(1, 2, 3), release: () => released++ });
    expect([...data, released]).toEqual([1, 2, 3, 1]);
  });

  it("copy between memories, and refuse spans that differ", () => {
    const scratch = executor.scratch("f32", 4);
    const data = Float32Array.of(1, 2, 3, 4);
    executor.copy(scratch, executor.span(viewOf(data)));
    const back = new Float32Array(4);
    executor.copy(executor.span(viewOf(back)), scratch);
    expect(back).toEqual(data);
    expect(() => executor.copy(scratch, executor.span(viewOf(new Float32Array(5))))).toThrow(
      "spans differ: 4 of f32 and 5 of f32",
    );
    expect(() => executor.copy(scratch, executor.span(viewOf(new Int32Array(4))))).toThrow(RangeError);
    executor.release(scratch);
  });

  it("refuse another executor's span", () => {
    expect(() => executor.read({ dtype: "f32", count: 1, byteLength: 4 })).toThrow("belongs to another executor");
  });
});

describe("scratch and alloc", () => {
  it("give memory back for the next one, and joins what is next to each other", async () => {
    const own = await createCpuExecutor();
    await own.loadRareLoops();
    const bytesOf = (span: unknown) => (span as { bytes: Uint8Array }).bytes;
    // Larger than the memory at first: it grows, once.
    const spans = Array.from({ length: 8 }, () => own.scratch("u8", 1_000_000));
    const size = bytesOf(spans[7]).buffer.byteLength;
    for (let round = 0; round < 50; round++) {
      for (const i of [3, 0, 7, 1, 2, 6, 5, 4]) own.release(spans[i]!);
      for (let i = 0; i < 8; i++) spans[i] = own.scratch("u8", 500_000 + 62_500 * i);
    }
    for (const span of spans) own.release(span);
    const whole = own.scratch("u8", 8_000_000);
    expect(bytesOf(whole).buffer.byteLength).toBe(size);
    own.release(whole);
    own.release(whole); // A second time does nothing.
    const [a, b] = [own.scratch("u8", 64), own.scratch("u8", 64)];
    expect(bytesOf(a).byteOffset).not.toBe(bytesOf(b).byteOffset);
  });

  it.each(DATA_TYPES)("alloc() gives zeros of %s inside WebAssembly memory", (dtype) => {
    const tensor = executor.alloc(dtype, 33);
    const data = arrayOf(tensor);
    expect(data.length).toBe(33);
    expect(executor.span(viewOf(tensor))).toMatchObject({ dtype, count: 33 });
    expect(executor.span(viewOf(tensor))).not.toMatchObject({ pointer: OUTSIDE });
    expect([...data].every((x) => Number(x) === 0)).toBe(true);
    // The same memory is known again through a view of it.
    expect(executor.span(viewOf(data.subarray(1)))).not.toMatchObject({ pointer: OUTSIDE });
    expect(arrayOf(executor.alloc(dtype, 0)).length).toBe(0);
  });

  it("alloc()'s memory stays while a view of it lives, and comes back when none does", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const own = await createCpuExecutor();
    await own.loadRareLoops();
    const view = arrayOf(own.alloc("f32", 1_000_000)).subarray(5) as Float32Array;
    view.fill(1.5);
    // If none came back, the memory would grow to 800 MB.
    let largestBytes = 0;
    for (let round = 0; round < 40; round++) {
      largestBytes = Math.max(largestBytes, arrayOf(own.alloc("u8", 20_000_000)).buffer.byteLength);
      collect();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(largestBytes).toBeLessThan(400_000_000);
    expect(view.every((x) => x === 1.5)).toBe(true);
  });
});

/** The bits of 1, where a typed array holds bits. */
const ONES: Partial<Record<DataType, number>> = { f16: 0x3c00, bf16: 0x3f80, f8e4m3: 0x38, f8e5m2: 0x3c };

describe("fill", () => {
  it.each([0, 1, 2, 3, 17, 1000])("sets all of %i elements", (count) => {
    for (const dtype of DATA_TYPES) {
      const tensor = executor.alloc(dtype, count);
      executor.fill(executor.span(viewOf(tensor)), 1);
      const one = ONES[dtype] ?? 1;
      expect([...arrayOf(tensor)].every((x) => Number(x) === one)).toBe(true);
    }
  });

  it("wraps integers and writes the canonical NaN", () => {
    const bytes = new Uint8Array(3);
    executor.fill(executor.span(viewOf(bytes)), -1);
    expect([...bytes]).toEqual([255, 255, 255]);
    const floats = new Float32Array(3);
    executor.fill(executor.span(viewOf(floats)), Number.NaN);
    expect([...new Uint32Array(floats.buffer)]).toEqual([0x7fc00000, 0x7fc00000, 0x7fc00000]);
    const longs = new BigUint64Array(2);
    executor.fill(executor.span(viewOf(longs)), -1);
    expect([...longs]).toEqual([2n ** 64n - 1n, 2n ** 64n - 1n]);
  });
});

describe("bitwise operations", () => {
  it.each([true, false])("refuse floats (wasm: %s)", async (wasm) => {
    const own = await createCpuExecutor({ wasm });
    await own.loadRareLoops();
    const span = own.scratch("f32", 100);
    expect(() => own.reduce(ReduceOp.BXOR, span, span, span)).toThrow("bxor is for integers, and the span is f32");
  });
});
