/**
 * The conformance suite of an executor: every verb on every dtype, compared with the reference arithmetic. A case places its
 * tensors between guard bytes in a memory of the executor's kind.
 */
import { UnsupportedError } from "../errors.ts";
import type { Executor, Lease, Span } from "../executor/executor.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { describe } from "../tensor/describe.ts";
import { bytesPerElement, DATA_TYPES, type DataType, type HostArray } from "../types.ts";
import { CaseData, type DataKey, type Inputs } from "./case-data.ts";
import { CASE_OPS, type CaseOp, opFits, opOfRank } from "./case-op.ts";
import { bytesOf } from "./digest.ts";
import { GUARD, GUARD_BYTES, hostMemory, type Placement, type TestMemory } from "./memory.ts";
import { foldElements } from "./reference.ts";
import { ConformanceError } from "./stage.ts";

/** One case. */
export interface ExecutorCase {
  /** The case in words. */
  readonly name: string;
  /**
   * Runs the case in `memory`, host arrays by default, which is of the executor's kind. What `memory` says cannot be reduced must be refused.
   * @throws ConformanceError that says what was not as it must be.
   */
  run(executor: Executor, memory?: TestMemory): Promise<void>;
}

/** Which cases {@link executorCases} makes. */
export interface ExecutorFilter {
  /** Default: all. */
  dtypes?: readonly DataType[];
  /** "normal" for a device that takes denormals for zero. Default: "exact". */
  inputs?: Exclude<Inputs, "random">;
}

/** Lengths around the ends of words, of vectors and of workgroups. */
const COUNTS = [0, 1, 3, 5, 17, 255, 257, 1_000];
/** Operands of a fold. */
const OPERANDS = 3;

/** Every case of the suite: those of moving, and one for each operation that fits a dtype. */
export function* executorCases({
  dtypes = DATA_TYPES,
  inputs = "exact",
}: ExecutorFilter = {}): Generator<ExecutorCase> {
  for (const dtype of dtypes) {
    for (const [name, body] of Object.entries(MOVES))
      yield caseOf(`${name} of ${dtype}`, (bench) => body(bench, dtype));
    for (const op of CASE_OPS) {
      if (!opFits(op, dtype)) continue;
      const data = new CaseData();
      yield caseOf(`${op} of ${dtype}`, (bench) =>
        folds(bench, { ...{ dtype, op, inputs, size: OPERANDS }, seed: 5 }, data),
      );
    }
  }
}

/** Cases without an operation. */
const MOVES: Readonly<Record<string, (bench: Bench, dtype: DataType) => Promise<void>>> = {
  async "read and write"(bench, dtype) {
    for (const count of COUNTS) {
      const [before, after] = [bench.elements(dtype, count), bench.elements(dtype, count)];
      const span = bench.span(dtype, before, after);
      bench.equal("a span's fields", [span.dtype, span.count, span.byteLength], [dtype, count, before.byteLength]);
      await bench.reads(span, before);
      await bench.writes(span, after);
      await bench.reads(span, after);
    }
  },
  async "copy and slice"(bench, dtype) {
    for (const count of COUNTS) {
      const source = bench.elements(dtype, count + 7);
      const target = bench.elements(dtype, count + 5);
      const after = target.slice();
      (after as Uint8Array).set(source.subarray(3, 3 + count) as Uint8Array, 2);
      const from = bench.executor.slice(bench.span(dtype, source, source), 3, count);
      const whole = bench.span(dtype, target, after);
      const to = bench.executor.slice(whole, 2, count);
      bench.executor.copy(to, from);
      await bench.reads(to, source.subarray(3, 3 + count));
      await bench.reads(whole, after);
    }
  },
  async "pack and unpack"(bench, dtype) {
    const perWord = Math.max(1, 4 / bytesPerElement(dtype));
    const parts = COUNTS.map((count) => bench.elements(dtype, count));
    let count = 0;
    const starts = parts.map((part) => {
      const start = Math.ceil(count / perWord) * perWord;
      count = start + part.length;
      return start;
    });
    const whole = bench.executor.scratch(dtype, count);
    const inputs = parts.map((part) => bench.span(dtype, part, part));
    bench.executor.packing(inputs, starts).pack(whole);
    for (const [i, part] of parts.entries())
      await bench.reads(bench.executor.slice(whole, starts[i]!, part.length), part);
    const outputs = parts.map((part) => bench.span(dtype, bench.elements(dtype, part.length), part));
    bench.executor.packing(outputs, starts).unpack(whole);
    for (const [i, part] of parts.entries()) await bench.reads(outputs[i]!, part);
    bench.executor.release(whole);
  },
  async fill(bench, dtype) {
    const isBig = dtype === "i64" || dtype === "u64";
    for (const count of COUNTS) {
      const before = bench.elements(dtype, count);
      const zeros = zerosLike(before);
      const span = bench.span(dtype, before, zeros);
      bench.executor.fill(span, isBig ? 0n : 0);
      await bench.reads(span, zeros);
    }
  },
  async "scratch and alloc"(bench, dtype) {
    const { executor } = bench;
    const contents = COUNTS.map((count) => bench.elements(dtype, count));
    const spans = contents.map(({ length }) => executor.scratch(dtype, length));
    for (const [i, span] of spans.entries()) await bench.writes(span, contents[i]!);
    for (const [i, span] of spans.entries()) await bench.reads(span, contents[i]!);
    for (const span of spans) executor.release(span);
    const zeros = zerosLike(bench.elements(dtype, 33));
    const tensor = executor.alloc(dtype, zeros.length);
    const own = executor.span(describe(tensor));
    await bench.reads(own, zeros);
    const elements = bench.elements(dtype, 33);
    await bench.writes(own, elements);
    await bench.reads(own, elements);
    if ("buffer" in tensor && "destroy" in tensor.buffer) tensor.buffer.destroy();
  },
  async "work in the order in which it is asked for"(bench, dtype) {
    const { executor } = bench;
    const elements = Array.from({ length: 4 }, () => bench.elements(dtype, 129));
    const span = bench.span(dtype, elements[0]!, elements[3]!);
    const others = elements.map((array) => bench.span(dtype, array, array));
    const reads = others.slice(1).map((other, i) => {
      executor.copy(span, other);
      return bench.reads(span, elements[i + 1]!);
    });
    await Promise.all(reads);
  },
};

/** `reduce`, `reduceMany`, `prepare`, `prepared` and `finish`, as a group of three ranks uses them. */
async function folds(bench: Bench, key: DataKey, data: CaseData): Promise<void> {
  const { executor, memory } = bench;
  const { dtype } = key;
  const op = key.op as CaseOp;
  // One operation for all: a rank prepares its own input alone, and gets the others' as they were prepared there.
  const ops = Array.from({ length: OPERANDS }, () => opOfRank(op, dtype, 0));
  if (!memory.reduces(dtype, op)) {
    const span = bench.span(dtype, bench.elements(dtype, 5));
    const error = await bench.errorOf(() => executor.admit([span], ops[0]!));
    bench.equal("admit refuses", error instanceof UnsupportedError, true);
    bench.equal("the error names who can", /the \w+ executor can/.test(String(error)), true);
    return;
  }
  for (const count of COUNTS) {
    const inputs = ops.map((_, rank) => data.input(key, rank, count));
    const total = foldElements(dtype, ops, inputs);
    // One after the other, in place of the left operand and of the right one.
    const place = () => inputs.map((input, i) => bench.span(dtype, input, i === 0 ? total : null));
    const spans = place();
    await executor.admit(spans, ops[0]!);
    const [left, ...rest] = spans.map((span, rank) => executor.prepare(ops[rank]!, span, OPERANDS));
    const target = spans[0]!;
    let folded = left!;
    for (const right of rest) {
      executor.reduce(ops[0]!, target, folded, right);
      folded = target;
    }
    executor.finish(ops[0]!, target, OPERANDS);
    await bench.reads(target, total);
    // In one pass, to memory of its own and in place of an operand; the inputs of the first keep their elements.
    const kept = inputs.map((input) => bench.span(dtype, input, input));
    const views = kept.map((span, rank) => executor.prepared(ops[rank]!, span, OPERANDS));
    const output = bench.span(dtype, bench.elements(dtype, count), total);
    executor.reduceMany(ops[0]!, output, views);
    executor.finish(ops[0]!, output, OPERANDS);
    await bench.reads(output, total);
    for (const view of views) executor.release(view);
    const own = inputs.map((input, i) => bench.span(dtype, input, i === 1 ? total : null));
    const prepared = own.map((span, rank) => executor.prepare(ops[rank]!, span, OPERANDS));
    executor.reduceMany(ops[0]!, own[1]!, prepared);
    executor.finish(ops[0]!, own[1]!, OPERANDS);
    await bench.reads(own[1]!, total);
  }
}

function zerosLike(elements: HostArray): HostArray {
  const zeros = elements.slice();
  bytesOf(zeros).fill(0);
  return zeros;
}

function caseOf(name: string, body: (bench: Bench) => Promise<void>): ExecutorCase {
  return {
    name,
    async run(executor, memory = hostMemory) {
      const bench = new Bench(name, executor, memory);
      await body(bench);
      await executor.settled();
      await bench.finish();
    },
  };
}

/** The tensors of one case. */
class Bench {
  readonly executor: Executor;
  readonly memory: TestMemory;
  readonly #name: string;
  readonly #random: SeededRandom;
  readonly #placed: { placement: Placement; start: number; after: HostArray | null; byteLength: number }[] = [];

  constructor(name: string, executor: Executor, memory: TestMemory) {
    this.#name = name;
    this.executor = executor;
    this.memory = memory;
    this.#random = new SeededRandom(3, name);
  }

  /** Elements of random bits. */
  elements(dtype: DataType, count: number): HostArray {
    const key: DataKey = { dtype, op: null, inputs: "exact", size: 1, seed: this.#random.below(2 ** 30) };
    return new CaseData(1).input(key, 0, count).slice();
  }

  /** A tensor that holds `before`, and must hold `after` at the end; anything for null. */
  span(dtype: DataType, before: HostArray, after: HostArray | null = null): Span {
    const start = this.memory.startOf(dtype);
    const end = start + before.byteLength;
    const region = new Uint8Array(Math.ceil((end + GUARD_BYTES) / 8) * 8).fill(GUARD);
    region.set(bytesOf(before), start);
    const placement = this.memory.place(dtype, region, start, end);
    this.#placed.push({ placement, start, after, byteLength: before.byteLength });
    return this.executor.span(describe(placement.tensor));
  }

  async reads(span: Span, expected: HostArray): Promise<void> {
    const take = (lease: Lease) => {
      const bytes = lease.bytes.slice();
      lease.release();
      return bytes;
    };
    const reading = this.executor.read(span);
    // A lease may be of the span's own memory, which the next verb changes.
    const bytes = "bytes" in reading ? take(reading) : await reading.then(take);
    this.#same(`read of ${span.count} elements`, bytes, bytesOf(expected));
  }

  async writes(span: Span, elements: HostArray): Promise<void> {
    const lease = this.executor.receive(span);
    this.equal("the room for a span", lease.bytes.byteLength, span.byteLength);
    lease.bytes.set(bytesOf(elements));
    await this.executor.write(span, lease);
  }

  async errorOf(body: () => unknown): Promise<unknown> {
    try {
      await body();
      return null;
    } catch (error) {
      return error;
    }
  }

  equal(what: string, actual: unknown, expected: unknown): void {
    const [left, right] = [JSON.stringify(actual), JSON.stringify(expected)];
    if (left !== right) throw new ConformanceError(`${this.#name}: ${what}: expected ${right}, got ${left}`);
  }

  /** Every tensor holds what it must, and the bytes around each are as they were. */
  async finish(): Promise<void> {
    const regions = await this.memory.collect(this.#placed.map(({ placement }) => placement));
    for (const [i, { start, after, byteLength }] of this.#placed.entries()) {
      const region = regions[i]!;
      if (after) this.#same(`tensor ${i} at the end`, region.subarray(start, start + byteLength), bytesOf(after));
      const guards = [region.subarray(0, start), region.subarray(start + byteLength)];
      const isIntact = guards.every((guard) => guard.every((byte) => byte === GUARD));
      this.equal(`the bytes beside tensor ${i} are intact`, isIntact, true);
    }
  }

  #same(what: string, actual: Uint8Array, expected: Uint8Array): void {
    this.equal(`${what}: bytes`, actual.byteLength, expected.byteLength);
    const at = actual.findIndex((byte, i) => byte !== expected[i]);
    if (at < 0) return;
    throw new ConformanceError(`${this.#name}: ${what}: byte ${at} is ${actual[at]} in place of ${expected[at]}`);
  }
}
