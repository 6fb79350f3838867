import { afterAll, describe, expect, it } from "vitest";
import { createCpuExecutor } from "../../src/executor/cpu/cpu-executor.ts";
import { HostSpan } from "../../src/executor/cpu/host-span.ts";
import type { Span } from "../../src/executor/executor.ts";
import type { GpuExecutor } from "../../src/executor/webgpu/create-executor.ts";
import { TENSOR_USAGE } from "../../src/executor/webgpu/usage.ts";
import { ReduceOp } from "../../src/reduce-op.ts";
import { describe as viewOf } from "../../src/tensor/describe.ts";
import { bytesPerElement, DATA_TYPES, type DataType } from "../../src/types.ts";
import { defaultDevice, testExecutor } from "../helpers/gpu.ts";
import { randomSource, SEED } from "./random.ts";
import { randomBytes, runFold } from "./webgpu-cases.ts";

console.log(`webgpu-shapes.test.ts: WEBCCL_TEST_SEED=${SEED}`);
const gpu = await testExecutor();
const cpu = await createCpuExecutor();
await cpu.loadRareLoops();
const random = randomSource(SEED);
afterAll(() => gpu.dispose());

async function write(executor: GpuExecutor, span: Span, bytes: Uint8Array): Promise<void> {
  const lease = executor.receive(span);
  lease.bytes.set(bytes);
  await executor.write(span, lease);
}

async function read(executor: GpuExecutor, span: Span): Promise<Uint8Array<ArrayBuffer>> {
  const lease = await executor.read(span);
  const bytes = new Uint8Array(lease.bytes);
  lease.release();
  return bytes;
}

describe("reduceMany()", () => {
  const cases = (["f32", "f16", "u8", "i64"] as const).flatMap((dtype) =>
    [1, 3, 4, 7, 8, 9, 15].map((operands) => ({ dtype, operands })),
  );
  it.each(cases)("folds $operands operands of $dtype from the left", async ({ dtype, operands }) => {
    const bytes = 600 * bytesPerElement(dtype);
    const places = Array.from({ length: operands }, (_, i) => ({ buffer: i, byteOffset: 0 }));
    const sizes = [...places.map(() => bytes), bytes];
    const targets = [0, Math.floor(operands / 2), operands - 1, { buffer: operands, byteOffset: 0 }];
    for (const target of targets) {
      for (const op of [ReduceOp.SUM, ReduceOp.AVG, ReduceOp.MIN]) {
        const fold = { dtype, op, count: 600, operands: places, target, size: operands };
        const { difference } = await runFold(gpu, cpu, fold, sizes, random);
        expect(difference, `target ${JSON.stringify(target)}, ${op.name}, seed ${SEED}`).toBe("");
      }
    }
  });

  it("folds slices that all lie in one buffer", async () => {
    const operands = Array.from({ length: 8 }, (_, i) => ({ buffer: 0, byteOffset: i * 400 }));
    const fold = { dtype: "i32", op: ReduceOp.SUM, count: 100, operands, target: 3 } as const;
    expect((await runFold(gpu, cpu, fold, [3200], random)).difference).toBe("");
  });

  it("cuts what is larger than a binding", async () => {
    const device = await defaultDevice();
    expect(device.limits.maxStorageBufferBindingSize).toBe(2 ** 27);
    const executor = await testExecutor({ device });
    const mebibytes = [2 ** 26 - 4, 2 ** 26 + 4, 2 ** 27 - 4, 2 ** 27 + 4].map((bytes) => bytes / 4);
    const counts = [65_535 * 256 - 1, 65_535 * 256 + 1, ...mebibytes];
    const most = Math.max(...counts);
    // Random bytes are slow to make: a block of them, again and again, at another offset in each operand.
    const block = randomBytes("i32", 1_000_004, random);
    const host = [0, 4000].map((skip) => {
      const bytes = new Uint8Array(4 * most);
      bytes.set(block.subarray(skip));
      for (let filled = block.length - skip; filled < bytes.length; filled *= 2) bytes.copyWithin(filled, 0, filled);
      return bytes;
    });
    const tensors = host.map(() => executor.alloc("i32", most));
    const [left, right] = tensors.map((tensor) => executor.span(viewOf(tensor))) as [Span, Span];
    const wanted = HostSpan.outside("i32", new Uint8Array(4 * most));
    cpu.reduce(ReduceOp.SUM, wanted, HostSpan.outside("i32", host[0]!), HostSpan.outside("i32", host[1]!));
    await write(executor, right, host[1]!);
    for (const count of counts) {
      await write(executor, left, host[0]!);
      const target = executor.slice(left, 0, count);
      executor.reduce(ReduceOp.SUM, target, target, executor.slice(right, 0, count));
      const got = Buffer.from(await read(executor, left));
      expect(got.compare(wanted.bytes, 0, 4 * count, 0, 4 * count), `${count} elements`).toBe(0);
      expect(got.compare(host[0]!, 4 * count, 4 * most, 4 * count, 4 * most), `behind ${count} elements`).toBe(0);
    }
    await executor.settled();
    for (const { buffer } of tensors) buffer.destroy();
    await executor.dispose();
    device.destroy();
  }, 60_000);
});

describe("fill()", () => {
  it("does what takes more than 65,535 workgroups", async () => {
    // From the second word on: a word at a time, and 256 of them a workgroup.
    const count = 65_535 * 256 + 1000;
    const tensor = gpu.alloc("i32", count + 2);
    const whole = gpu.span(viewOf(tensor));
    gpu.fill(gpu.slice(whole, 1, count), 7);
    const halves = [gpu.slice(whole, 0, count / 2 + 1), gpu.slice(whole, count / 2 + 1, count / 2 + 1)] as const;
    const [first, second] = [await read(gpu, halves[0]), await read(gpu, halves[1])].map(
      ({ buffer }) => new Int32Array(buffer),
    ) as [Int32Array, Int32Array];
    expect([first[0], second.at(-1)]).toEqual([0, 0]);
    expect(first.subarray(1).every((value) => value === 7)).toBe(true);
    expect(second.subarray(0, -1).every((value) => value === 7)).toBe(true);
    tensor.buffer.destroy();
  });
});

describe("fill(), copy(), write() and read()", () => {
  it.each(DATA_TYPES)("touch their elements of %s and no byte beside them", async (dtype: DataType) => {
    const width = bytesPerElement(dtype);
    const size = 2048;
    const tensor = { buffer: gpu.device.createBuffer({ size, usage: TENSOR_USAGE }), dtype, count: size / width };
    const whole = gpu.span(viewOf(tensor));
    const bytes = randomBytes(dtype, size, random);
    await write(gpu, whole, bytes);
    for (const [start, count] of [
      [0, 1],
      [1, 1],
      [1, 2],
      [3, 5],
      [5, 33],
      [0, 64],
      [7, 0],
    ] as const) {
      const span = gpu.slice(whole, start, count);
      const at = start * width;
      const byteLength = count * width;

      gpu.fill(span, 5);
      cpu.fill(HostSpan.outside(dtype, bytes.subarray(at, at + byteLength)), 5);
      expect(await read(gpu, whole)).toEqual(bytes);

      const sent = randomBytes(dtype, byteLength, random);
      await write(gpu, span, sent);
      bytes.set(sent, at);
      expect(await read(gpu, whole)).toEqual(bytes);
      expect(await read(gpu, span)).toEqual(sent);

      // Within one buffer, from one byte of a word to another.
      gpu.copy(gpu.slice(whole, 65, count), span);
      bytes.copyWithin(65 * width, at, at + byteLength);
      expect(await read(gpu, whole)).toEqual(bytes);

      const scratch = gpu.scratch(dtype, count);
      gpu.copy(scratch, span);
      expect(await read(gpu, scratch)).toEqual(sent);
      gpu.release(scratch);
    }
    tensor.buffer.destroy();
  });
});

describe("read()", () => {
  it("sees every command before it and none after it", async () => {
    const span = gpu.scratch("i32", 1000);
    const ones = gpu.scratch("i32", 1000);
    gpu.fill(span, 0);
    gpu.fill(ones, 1);
    const reads: Promise<Uint8Array>[] = [];
    for (let i = 0; i < 20; i++) {
      reads.push(read(gpu, span));
      gpu.reduce(ReduceOp.SUM, span, span, ones);
    }
    const seen = await Promise.all(reads);
    expect(seen.map((bytes) => new Int32Array(bytes.buffer, bytes.byteOffset, 1)[0])).toEqual([...Array(20).keys()]);
    gpu.release(span);
    gpu.release(ones);
  });

  it("reads a span once for all who ask at the same time, and keeps several readbacks under way", async () => {
    const span = gpu.scratch("f32", 1000);
    const other = gpu.scratch("f32", 1000);
    gpu.fill(span, 2);
    gpu.fill(other, 3);
    const before = { ...gpu.stats };
    const leases = await Promise.all([gpu.read(span), gpu.read(span), gpu.read(span), gpu.read(other)]);
    expect(gpu.stats.mapAsyncCalls - before.mapAsyncCalls).toBe(2);
    // Each readback ends a submit, so that the first is not kept waiting by the work behind it.
    expect(gpu.stats.submits - before.submits).toBe(2);
    expect(gpu.stats.mostMapsInFlight).toBeGreaterThanOrEqual(2);
    leases[0]!.release();
    leases[0]!.release();
    leases[1]!.release();
    expect(leases[2]!.bytes.byteLength).toBe(4000);
    expect(new Float32Array(leases[2]!.bytes.buffer, leases[2]!.bytes.byteOffset, 1)[0]).toBe(2);
    leases[2]!.release();
    // The last release gives the memory back: the next read has it.
    const again = await gpu.read(span);
    expect(again.bytes.buffer).toBe(leases[2]!.bytes.buffer);
    again.release();
    leases[3]!.release();
    gpu.release(span);
    gpu.release(other);
  });
});

describe("two executors on one device", () => {
  it("copy and reduce each other's spans in order, without a readback", async () => {
    const second = await testExecutor({ device: gpu.device });
    const [mine, theirs] = [gpu.scratch("i32", 100), second.scratch("i32", 100)];
    const { mapAsyncCalls } = gpu.stats;
    second.fill(theirs, 5);
    gpu.copy(mine, theirs);
    second.fill(theirs, 7);
    gpu.reduce(ReduceOp.SUM, mine, mine, theirs);
    await gpu.settled();
    expect(gpu.stats.mapAsyncCalls).toBe(mapAsyncCalls);
    expect(new Int32Array((await read(gpu, mine)).buffer)).toEqual(new Int32Array(100).fill(12));
    gpu.release(mine);
    second.release(theirs);
    await second.dispose();
  });
});

describe("custom operations", () => {
  const run = async (
    dtype: DataType,
    op: ReturnType<typeof ReduceOp.custom>,
    left: bigint[] | number[],
    right: bigint[] | number[],
  ) => {
    const bytes = [left, right].map((values) => {
      const span = HostSpan.outside(dtype, new Uint8Array(values.length * bytesPerElement(dtype)));
      values.forEach((value, i) => {
        cpu.fill(cpu.slice(span, i, 1), value);
      });
      return span;
    }) as [HostSpan, HostSpan];
    const [a, b] = bytes.map(({ count }) => gpu.scratch(dtype, count)) as [Span, Span];
    await write(gpu, a, bytes[0].bytes);
    await write(gpu, b, bytes[1].bytes);
    await gpu.admit([a, b], op);
    gpu.reduce(op, a, a, b);
    cpu.reduce(op, bytes[0], bytes[0], bytes[1]);
    expect(await read(gpu, a)).toEqual(new Uint8Array(bytes[0].bytes));
    gpu.release(a);
    gpu.release(b);
  };
  const minus = ReduceOp.custom({
    name: "minus",
    wgsl: "a - b",
    js: (a: number, b: number) => a - b,
    identity: 0,
    commutative: false,
  });

  it.each(["f32", "f16", "bf16", "f8e4m3", "f8e5m2", "i32", "u32", "i16", "u16", "i8", "u8"] as const)(
    "see elements of %s",
    async (dtype) => {
      await run(dtype, minus, [5, 3, 100, 1, 7], [3, 5, 27, 1, 90]);
    },
  );

  it("give the canonical NaN", async () => {
    await run("f32", minus, [Number.POSITIVE_INFINITY, Number.NaN, 1], [Number.POSITIVE_INFINITY, 1, Number.NaN]);
  });

  it("see 64-bit elements as two words, such as an argmax of value and index", async () => {
    const argmax = ReduceOp.custom({
      name: "argmax",
      wgsl: "select(a, b, b.y > a.y || (b.y == a.y && b.x < a.x))",
      js: (a: bigint, b: bigint) => {
        const [valueA, valueB] = [a >> 32n, b >> 32n];
        return valueB > valueA || (valueA === valueB && (b & 0xffffffffn) < (a & 0xffffffffn)) ? b : a;
      },
      identity: 0n,
      commutative: true,
    });
    const pair = (value: bigint, index: bigint) => (value << 32n) + index;
    await run("u64", argmax, [pair(5n, 1n), pair(9n, 2n), pair(7n, 4n)], [pair(6n, 7n), pair(8n, 8n), pair(7n, 3n)]);
  });

  it("that do not compile are refused with the compiler's message", async () => {
    const wrong = ReduceOp.custom({
      name: "wrong",
      wgsl: "a -- nonsense",
      js: () => 0,
      identity: 0,
      commutative: false,
    });
    const span = gpu.scratch("f32", 4);
    await expect(gpu.admit([span], wrong)).rejects.toThrow(/custom op wrong on f32 does not compile: .*nonsense/);
    // Whoever does not ask first gets no bytes.
    gpu.reduce(wrong, span, span, span);
    await expect(gpu.read(span)).rejects.toThrow(/nonsense/);
    await expect(gpu.settled()).rejects.toThrow(/nonsense/);
    await gpu.settled();
    gpu.release(span);
  });
});

describe("f64", () => {
  it("refuses what WGSL cannot do exactly, and names the cpu executor", () => {
    const span = gpu.scratch("f64", 4);
    const other = gpu.scratch("f64", 4);
    for (const op of [ReduceOp.SUM, ReduceOp.PRODUCT, ReduceOp.AVG]) {
      expect(() => gpu.reduce(op, span, span, other)).toThrow(/reduce op \w+ on f64: .*cpu executor/);
      expect(() => gpu.admit([span], op)).toThrow(/reduce op \w+ on f64/);
    }
    expect(() => gpu.prepare(ReduceOp.AVG, span, 2)).toThrow(/reduce op avg on f64/);
    expect(() => gpu.reduce(ReduceOp.BAND, span, span, other)).toThrow(/band is for integers/);
    gpu.release(span);
    gpu.release(other);
  });
});

describe("prepare() and finish()", () => {
  const count = 1000;
  const first = async (span: Span) => new Int32Array((await read(gpu, span)).buffer)[0];
  const dispatches = async (body: () => void) => {
    await gpu.settled();
    const before = gpu.stats.dispatches;
    body();
    await gpu.settled();
    return gpu.stats.dispatches - before;
  };

  it("are done in the pass of the fold, however many operands it has", async () => {
    for (const [op, wanted] of [
      [ReduceOp.premulSum(2), 2 * (30 + 12 + 6)],
      [ReduceOp.AVG, 16],
    ] as const) {
      const spans = [30, 12, 6].map((value) => {
        const span = gpu.scratch("i32", count);
        gpu.fill(span, value);
        return span;
      });
      const target = gpu.scratch("i32", count);
      const passes = await dispatches(() => {
        gpu.reduceMany(
          op,
          target,
          spans.map((span) => gpu.prepare(op, span, 3)),
        );
        gpu.finish(op, target, 3);
      });
      expect(passes).toBe(1);
      expect(await Promise.all([target, ...spans].map(first))).toEqual([wanted, 30, 12, 6]);
      for (const span of [target, ...spans]) gpu.release(span);
    }
  });

  it.each(["f32", "f16", "bf16"] as const)("AVG of %s is one pass where the target is an input", async (dtype) => {
    const [target, other] = [gpu.scratch(dtype, count), gpu.scratch(dtype, count)];
    gpu.fill(target, 3);
    gpu.fill(other, 1);
    const passes = await dispatches(() =>
      gpu.reduce(ReduceOp.AVG, target, other, gpu.prepare(ReduceOp.AVG, target, 2)),
    );
    expect(passes).toBe(1);
    gpu.fill(other, 2.5);
    expect(await read(gpu, target)).toEqual(await read(gpu, other));
    gpu.release(target);
    gpu.release(other);
  });

  it("a prepared input is read and copied as what it stands for, also in part, and not written", async () => {
    const [source, target] = [gpu.scratch("i32", count), gpu.scratch("i32", count)];
    gpu.fill(source, 30);
    const view = gpu.prepare(ReduceOp.premulSum(2), source, 3);
    const [twice, part] = [gpu.read(view), gpu.read(gpu.slice(view, 10, 5))];
    gpu.copy(target, view);
    for (const lease of await Promise.all([twice, part])) {
      const { bytes } = lease;
      expect(new Set(new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4))).toEqual(new Set([60]));
      lease.release();
    }
    expect([await first(source), await first(target)]).toEqual([30, 60]);
    gpu.copy(source, view);
    expect(await first(source)).toBe(60);
    expect(() => gpu.fill(view, 1)).toThrow(/for reading only/);
    expect(() => gpu.reduce(ReduceOp.SUM, view, source, target)).toThrow(/for reading only/);
    gpu.release(source);
    gpu.release(target);
  });

  it("finish() sees what came before it, and only that", async () => {
    const [source, target, other] = [0, 1, 2].map(() => gpu.scratch("i32", count)) as [Span, Span, Span];
    gpu.fill(source, 30);
    gpu.fill(other, 12);
    // A readback in between sees the sum, a write in between is divided.
    gpu.reduce(ReduceOp.AVG, target, source, other);
    const seen = first(target);
    gpu.finish(ReduceOp.AVG, target, 2);
    expect([await seen, await first(target)]).toEqual([42, 21]);
    gpu.reduce(ReduceOp.AVG, target, source, other);
    gpu.fill(other, 1);
    gpu.finish(ReduceOp.AVG, target, 2);
    expect([await first(target), await first(other)]).toEqual([21, 1]);
    gpu.reduce(ReduceOp.AVG, target, source, other);
    await write(gpu, target, new Uint8Array(Int32Array.from({ length: count }, () => 14).buffer));
    gpu.finish(ReduceOp.AVG, target, 2);
    expect(await first(target)).toBe(7);
    for (const span of [source, target, other]) gpu.release(span);
  });
});
