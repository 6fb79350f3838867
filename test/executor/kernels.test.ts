import { beforeAll, describe, expect, it } from "vitest";
import { createCpuExecutor } from "../../src/executor/cpu/cpu-executor.ts";
import { HostSpan } from "../../src/executor/cpu/host-span.ts";
import type { Executor, Lease, Span } from "../../src/executor/executor.ts";
import { ReduceOp, resolveReduceOp } from "../../src/reduce-op.ts";
import { bytesPerElement, DATA_TYPES, type DataType, isFloat } from "../../src/types.ts";
import { randomElements, randomSource, SEED } from "./random.ts";
import { opsFor, referenceFold, referenceMap, type SimpleOp } from "./reference.ts";

const COUNTS = [0, 1, 3, 15, 16, 17, 1000, 65_537];
/** Elements before a span, so that its first byte stands at every offset within a vector. */
const SHIFTS = [0, 1, 2, 3, 5, 7, 8, 11, 13, 15];
type Alias = "disjoint" | "target is left" | "target is right";
const ALIASES: readonly Alias[] = ["disjoint", "target is left", "target is right"];

const [wasm, plain] = await Promise.all([createCpuExecutor(), createCpuExecutor({ wasm: false })]);
beforeAll(async () => {
  await Promise.all([wasm.loadRareLoops(), plain.loadRareLoops()]);
  expect(wasm.description).toBe("wasm-simd");
  console.log(`kernels.test: seed ${SEED}`);
});

/** Where operands lie: in the executor's own memory, or in arrays of the caller. */
type Place = "inside" | "outside";

/** `contents` in the given kind of memory, `shift` elements after an aligned address, with a guard element on each side. */
class Placed {
  readonly span: Span;
  readonly #all: HostSpan;
  readonly #executor: Executor;

  constructor(executor: Executor, place: Place, dtype: DataType, contents: Uint8Array, shift: number) {
    const count = contents.byteLength / bytesPerElement(dtype);
    const total = count + shift + 2;
    this.#executor = executor;
    const whole =
      place === "inside"
        ? executor.scratch(dtype, total)
        : HostSpan.outside(dtype, new Uint8Array(total * bytesPerElement(dtype)));
    this.#all = whole as HostSpan;
    this.#all.bytes.fill(0xa5);
    this.span = executor.slice(whole, shift + 1, count);
    (this.span as HostSpan).bytes.set(contents);
  }

  get bytes(): Uint8Array {
    return (this.span as HostSpan).bytes;
  }

  /** Checks the elements around the span and gives its memory back. */
  end(): void {
    const { bytes } = this.#all;
    const width = bytesPerElement(this.#all.dtype);
    const start = this.bytes.byteOffset - bytes.byteOffset;
    const around = [bytes.subarray(0, start), bytes.subarray(start + this.bytes.byteLength)];
    const isWhole = around.every((guard) => guard.length >= width && guard.every((byte) => byte === 0xa5));
    // A matcher costs more than what it is given here.
    if (!isWhole) expect.fail(`elements beside a span of ${this.#all.dtype} were overwritten`);
    this.#executor.release(this.#all);
  }
}

function same(actual: Uint8Array, expected: Uint8Array): boolean {
  return Buffer.compare(actual, expected) === 0;
}

/** Fails with the first element that differs. */
function expectSame(dtype: DataType, actual: Uint8Array, expected: Uint8Array, context: string): void {
  if (same(actual, expected)) return;
  const width = bytesPerElement(dtype);
  const at = actual.findIndex((byte, i) => byte !== expected[i]);
  const element = Math.floor(at / width);
  const hex = (bytes: Uint8Array) =>
    Buffer.from(bytes.slice(element * width, element * width + width).reverse()).toString("hex");
  expect(hex(actual), `${context}, element ${element}, seed ${SEED}`).toBe(hex(expected));
}

function checkFold(
  executor: Executor,
  op: SimpleOp,
  dtype: DataType,
  inputs: { left: Uint8Array; right: Uint8Array; expected: Uint8Array },
  layout: { alias: Alias; places: readonly [Place, Place, Place]; shifts: readonly [number, number, number] },
): void {
  const { alias, places, shifts } = layout;
  const left = new Placed(executor, places[1], dtype, inputs.left, shifts[1]);
  const right = new Placed(executor, places[2], dtype, inputs.right, shifts[2]);
  const blank = new Uint8Array(inputs.left.byteLength);
  const own = new Placed(executor, places[0], dtype, blank, shifts[0]);
  const target = alias === "disjoint" ? own : alias === "target is left" ? left : right;
  executor.reduce(resolveReduceOp(op, dtype), target.span, left.span, right.span);
  const context = `${op} of ${dtype}, ${executor.description}, ${alias}, ${places.join(" ")}, shifts ${shifts.join(" ")}`;
  expectSame(dtype, target.bytes, inputs.expected, context);
  if (target !== left) expectSame(dtype, left.bytes, inputs.left, `${context}: left`);
  if (target !== right) expectSame(dtype, right.bytes, inputs.right, `${context}: right`);
  for (const placed of [left, right, own]) placed.end();
}

describe.each(DATA_TYPES)("reduce() of %s", (dtype) => {
  it.each(opsFor(dtype))("%s gives the reference's bits from WebAssembly and from plain loops", (op) => {
    const random = randomSource(SEED);
    const pick = <T>(list: readonly T[]): T => list[random() % list.length]!;
    const place = (): Place => pick(["inside", "outside"]);
    for (const count of COUNTS) {
      const left = randomElements(dtype, count, random);
      const right = randomElements(dtype, count, random);
      const inputs = { left, right, expected: referenceFold(op, dtype, left, right) };
      // Every shift where it is cheap; a random one elsewhere.
      for (const shift of count <= 1000 ? SHIFTS : [pick(SHIFTS)]) {
        for (const alias of ALIASES) {
          const shifts = [shift, pick(SHIFTS), pick(SHIFTS)] as const;
          checkFold(wasm, op, dtype, inputs, { alias, places: ["inside", "inside", "inside"], shifts });
          checkFold(wasm, op, dtype, inputs, { alias, places: ["outside", "outside", "outside"], shifts });
          checkFold(wasm, op, dtype, inputs, { alias, places: [place(), place(), place()], shifts });
          checkFold(plain, op, dtype, inputs, { alias, places: ["outside", "outside", "outside"], shifts });
        }
      }
    }
  });
});

describe.each(DATA_TYPES)("prepare() and finish() of %s", (dtype) => {
  const check = (
    act: (executor: Executor, span: Span) => void,
    expectedOf: (input: Uint8Array) => Uint8Array,
    context: string,
  ) => {
    const random = randomSource(SEED);
    for (const count of COUNTS) {
      const input = randomElements(dtype, count, random);
      const expected = expectedOf(input);
      for (const [executor, place] of [
        [wasm, "inside"],
        [wasm, "outside"],
        [plain, "outside"],
      ] as const) {
        for (const shift of count <= 1000 ? SHIFTS : [random() % 16]) {
          const placed = new Placed(executor, place, dtype, input, shift);
          act(executor, placed.span);
          expectSame(dtype, placed.bytes, expected, `${context}, ${executor.description}, ${place}, shift ${shift}`);
          placed.end();
        }
      }
    }
  };

  it.each([1, 2, 3, 7, 64, 1000])("AVG at %i ranks multiplies floats first and divides integers last", (size) => {
    const factor = dtype === "f64" ? 1 / size : Math.fround(1 / size);
    const scaled = (input: Uint8Array) =>
      referenceMap(
        dtype,
        input,
        (x) => x * factor,
        (x) => x,
      );
    const divided = (input: Uint8Array) =>
      referenceMap(
        dtype,
        input,
        (x) => x,
        (x) => x / BigInt(size),
      );
    const unchanged = (input: Uint8Array) => input;
    check(
      (executor, span) => executor.prepare(ReduceOp.AVG, span, size),
      isFloat(dtype) ? scaled : unchanged,
      "prepare",
    );
    check(
      (executor, span) => executor.finish(ReduceOp.AVG, span, size),
      isFloat(dtype) ? unchanged : divided,
      "finish",
    );
  });

  it.each([0, -1, 3, 0.1, 2 ** 40 + 1, Number.POSITIVE_INFINITY])(
    "PREMUL_SUM multiplies by %d, or refuses",
    (factor) => {
      const op = ReduceOp.premulSum(factor);
      const prepare = (executor: Executor, span: Span) => executor.prepare(op, span, 2);
      if (!isFloat(dtype) && !Number.isInteger(factor)) {
        expect(() => prepare(wasm, wasm.scratch(dtype, 100))).toThrow(TypeError);
        return;
      }
      const rounded = dtype === "f64" ? factor : Math.fround(factor);
      const whole = isFloat(dtype) ? 0n : BigInt(factor);
      check(
        prepare,
        (input) =>
          referenceMap(
            dtype,
            input,
            (x) => x * rounded,
            (x) => x * whole,
          ),
        `factor ${factor}`,
      );
    },
  );

  it("prepared() keeps the input", () => {
    const op = ReduceOp.premulSum(2);
    const input = randomElements(dtype, 100, randomSource(SEED));
    const wanted = referenceMap(
      dtype,
      input,
      (x) => x * 2,
      (x) => x * 2n,
    );
    for (const executor of [wasm, plain]) {
      const placed = new Placed(executor, "outside", dtype, input, 0);
      const prepared = executor.prepared(op, placed.span, 3);
      expectSame(dtype, (executor.read(prepared) as Lease).bytes, wanted, executor.description);
      executor.release(prepared);
      expectSame(dtype, placed.bytes, input, executor.description);
      placed.end();
    }
  });

  it("leaves other operations' inputs and results alone", () => {
    check(
      (executor, span) => {
        executor.prepare(ReduceOp.SUM, span, 3);
        executor.finish(ReduceOp.SUM, span, 3);
        executor.finish(ReduceOp.premulSum(2), span, 3);
      },
      (input) => input,
      "sum",
    );
  });
});
