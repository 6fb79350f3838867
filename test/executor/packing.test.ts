/** Packing in host memory: a kernel where all parts lie in WebAssembly memory, else loops, with one result. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createCpuExecutor } from "../../src/executor/cpu/cpu-executor.ts";
import { HostSpan, OUTSIDE } from "../../src/executor/cpu/host-span.ts";
import type { HostExecutor } from "../../src/executor/executor.ts";
import { bytesPerElement, type DataType } from "../../src/types.ts";

const GUARD = 0xa5;
const [wasm, plain] = await Promise.all([createCpuExecutor(), createCpuExecutor({ wasm: false })]);
const EXECUTORS = { "the kernels": wasm, "plain loops": plain };

/** A part: how many elements it has, how many bytes lie before it in its block, and whether that is in the executor's own memory. */
interface Part {
  readonly count: number;
  readonly shift: number;
  readonly isOutside: boolean;
}

/** A part with guards on both sides. */
function place(executor: HostExecutor, dtype: DataType, { count, shift, isOutside }: Part) {
  const bytes = count * bytesPerElement(dtype);
  const block = isOutside
    ? HostSpan.outside("u8", new Uint8Array(bytes + shift + 9))
    : (executor.scratch("u8", bytes + shift + 9) as HostSpan);
  block.bytes.fill(GUARD);
  const { buffer, byteOffset, pointer } = block;
  const span = new HostSpan(dtype, count, buffer, byteOffset + shift, pointer === OUTSIDE ? OUTSIDE : pointer + shift);
  const around = () => [block.bytes.subarray(0, shift), block.bytes.subarray(shift + bytes)];
  return { block, span, around };
}

const DTYPES = ["u8", "i16", "f32", "f64"] as const;
const count = fc.oneof(fc.nat(20), fc.nat(700));
/** Bytes before a part: those of whole words, and of any elements. */
const shift = fc.oneof(
  fc.nat(3).map((n) => n * 8),
  fc.nat(9).map((n) => n * 8),
  fc.nat(31),
);
const parts = (isOutside: fc.Arbitrary<boolean>) =>
  fc.oneof(
    fc.array(fc.record({ count, shift, isOutside }), { maxLength: 12 }),
    // More than a kernel's table holds.
    fc.array(fc.record({ count: fc.nat(3), shift, isOutside }), { minLength: 513, maxLength: 1_100 }),
  );
const PLACES = {
  "in the executor's memory": parts(fc.constant(false)),
  "in arrays of the caller": parts(fc.constant(true)),
  "in both": parts(fc.boolean()),
};

describe.each(Object.entries(EXECUTORS))("packing by %s", (_, executor) => {
  it.each(Object.entries(PLACES))("moves parts that lie %s, and nothing beside them", (_, list) => {
    fc.assert(
      fc.property(fc.constantFrom(...DTYPES), list, fc.nat(), (dtype, drawn, seed) => {
        const width = bytesPerElement(dtype);
        // Elements lie at multiples of their width.
        const placed = drawn.map((part) =>
          place(executor, dtype, { ...part, shift: part.shift - (part.shift % width) }),
        );
        const spans = placed.map(({ span }) => span);
        let total = 0;
        const starts = spans.map((span, i) => {
          const start = total + ((seed + i) % 3) * Math.max(1, 4 / width);
          total = start + Math.ceil((span.count * width) / 4) * Math.max(1, 4 / width);
          return start;
        });
        const whole = executor.scratch(dtype, total) as HostSpan;
        const packing = executor.packing(spans, starts);

        whole.bytes.fill(GUARD);
        const expected = whole.bytes.slice();
        for (const [i, { bytes }] of spans.entries()) {
          for (let at = 0; at < bytes.length; at++) bytes[at] = seed + i * 7 + at;
          expected.set(bytes, starts[i]! * width);
        }
        packing.pack(whole);
        if (!Buffer.from(whole.bytes).equals(expected)) expect.fail("the whole is not the parts");

        for (let at = 0; at < whole.bytes.length; at++) whole.bytes[at] = seed + at * 3;
        packing.unpack(whole);
        for (const [i, { bytes }] of spans.entries()) {
          const from = starts[i]! * width;
          if (!Buffer.from(bytes).equals(whole.bytes.subarray(from, from + bytes.length))) expect.fail(`part ${i}`);
          for (const guard of placed[i]!.around()) {
            if (!guard.every((byte) => byte === GUARD)) expect.fail(`bytes beside part ${i} were overwritten`);
          }
        }
        for (const { block } of placed) executor.release(block);
        executor.release(whole);
      }),
      { numRuns: 60 },
    );
  });

  it("throws where the memory of a part is gone, in place of doing nothing", () => {
    const part = HostSpan.outside("f32", new Uint8Array(64));
    const whole = executor.scratch("f32", 16) as HostSpan;
    const packing = executor.packing([part], [0]);
    packing.pack(whole);
    structuredClone(part.buffer, { transfer: [part.buffer as ArrayBuffer] });
    expect(() => packing.pack(whole)).toThrow(/detached/);
    expect(() => packing.unpack(whole)).toThrow(/detached/);
    executor.release(whole);
  });
});
