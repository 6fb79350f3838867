/** The algorithms over addressable memory, on ranks of one thread that meet in promises, or on one rank that waits for nobody. */

import { describe, expect, it } from "vitest";
import { allGatherPull } from "../../src/algorithm/addressable/all-gather-pull.ts";
import { allReduceLast } from "../../src/algorithm/addressable/all-reduce-last.ts";
import { allReduceOnePass } from "../../src/algorithm/addressable/all-reduce-one-pass.ts";
import { allReduceSlots } from "../../src/algorithm/addressable/all-reduce-slots.ts";
import { barrierStep } from "../../src/algorithm/addressable/barrier-step.ts";
import { broadcastPull } from "../../src/algorithm/addressable/broadcast-pull.ts";
import { reduceOnePass } from "../../src/algorithm/addressable/reduce-one-pass.ts";
import { reduceScatterOnePass } from "../../src/algorithm/addressable/reduce-scatter-one-pass.ts";
import type { Context } from "../../src/algorithm/context.ts";
import { createAddressableCpuExecutor } from "../../src/executor/cpu/cpu-executor.ts";
import { createMemory } from "../../src/executor/cpu/wasm-memory.ts";
import type { AddressableExecutor, Span } from "../../src/executor/executor.ts";
import { ReduceOp } from "../../src/reduce-op.ts";
import type { AddressableMemory } from "../../src/region/region.ts";
import type { Late } from "../../src/support/late.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";
import { describe as viewOf } from "../../src/tensor/describe.ts";
import type { DataType, HostArray, Tensor } from "../../src/types.ts";

/** What the ranks of one call share, and how often each made a step. */
class Meeting {
  readonly executor: AddressableExecutor;
  readonly steps: number[];
  readonly #slots: Span[];
  readonly #offers: Map<number, Span>[];
  #waiting: (() => void)[] = [];

  constructor(executor: AddressableExecutor, size: number) {
    this.executor = executor;
    this.steps = new Array<number>(size).fill(0);
    this.#slots = this.steps.map(() => executor.scratch("u8", 16_384));
    this.#offers = this.steps.map(() => new Map());
  }

  context(rank: number): Context {
    const { executor } = this;
    const size = this.steps.length;
    const at = (span: Span, dtype: DataType, count: number) => executor.spanAt(executor.addressOf(span), dtype, count);
    const region: AddressableMemory = {
      holds: (span) => executor.addressOf(span) >= 0,
      kind: "addressable",
      executor,
      slotBytes: 16_384,
      slots: (dtype, count) => this.#slots.map((slot) => at(slot, dtype, count)),
      offer: (index, span) => void this.#offers[rank]!.set(index, span),
      offered: (other, index, dtype, count) => {
        const span = this.#offers[other]!.get(index)!;
        return executor.addressOf(span) < 0 ? null : at(span, dtype, count);
      },
      step: () => this.#arrive(rank, () => {}),
      stepThrough: (last) => this.#arrive(rank, last),
      breathe: () => undefined,
    };
    const exchange = null as unknown as Context["exchange"]; // Nobody sends a message.
    return { rank, size, executor, exchange, hub: null, region, segmentBytes: 4096, segmentsInFlight: 2 };
  }

  #arrive(rank: number, last: () => void): Late {
    this.steps[rank]! += 1;
    const before = this.#waiting;
    if (before.length + 1 < this.steps.length) return new Promise((resolve) => before.push(resolve));
    this.#waiting = [];
    last();
    for (const resolve of before) resolve();
    return undefined;
  }
}

type Run = (context: Context, tensor: Span, others: readonly Span[]) => Late;

/** Each algorithm on one tensor of a rank, or on that and one per rank; the steps of a call; the first rank's result. */
const ALGORITHMS: Readonly<Record<string, { run: Run; steps: number; result: (inputs: readonly number[]) => number }>> =
  {
    slots: {
      run: (context, tensor) => allReduceSlots(context, tensor, ReduceOp.SUM),
      steps: 1,
      result: sum,
    },
    last: { run: (context, tensor) => allReduceLast(context, tensor, ReduceOp.SUM), steps: 1, result: sum },
    "one-pass": {
      run: (context, tensor) => allReduceOnePass(context, tensor, ReduceOp.SUM),
      steps: 2,
      result: sum,
    },
    "one-pass of AVG": {
      run: (context, tensor) => allReduceOnePass(context, tensor, ReduceOp.AVG),
      steps: 3,
      result: (inputs) => sum(inputs.map((input) => Math.fround(Math.fround(1 / inputs.length) * input))),
    },
    "last of AVG": {
      run: (context, tensor) => allReduceLast(context, tensor, ReduceOp.AVG),
      steps: 3,
      result: (inputs) => sum(inputs.map((input) => Math.fround(Math.fround(1 / inputs.length) * input))),
    },
    reduce: {
      run: (context, tensor) => reduceOnePass(context, tensor, 0, ReduceOp.SUM),
      steps: 2,
      result: sum,
    },
    "reduce-scatter": {
      run: (context, tensor, others) => reduceScatterOnePass(context, tensor, others, ReduceOp.SUM),
      steps: 2,
      result: sum,
    },
    broadcast: {
      run: (context, tensor) => broadcastPull(context, tensor, context.size - 1),
      steps: 2,
      result: (inputs) => inputs.at(-1)!,
    },
    "all-gather": {
      run: (context, tensor, others) => allGatherPull(context, others, tensor),
      steps: 2,
      result: (inputs) => inputs[0]!,
    },
    barrier: { run: (context) => barrierStep(context), steps: 1, result: (inputs) => inputs[0]! },
  };

function sum(inputs: readonly number[]): number {
  return inputs.reduce((a, b) => Math.fround(a + b));
}

/** Calls an algorithm on `size` ranks; element i of rank r's tensors is r + i / 8, rounded. */
async function call(run: Run, size: number, tensorOf: (executor: AddressableExecutor) => Tensor) {
  const { memory } = createMemory();
  const { executor } = (await createAddressableCpuExecutor(memory))!;
  const meeting = new Meeting(executor, size);
  const ranks = Array.from({ length: size }, (_, rank) => rank);
  const made = ranks.map((rank) => {
    const make = () => {
      const tensor = tensorOf(executor) as Float32Array;
      tensor.forEach((_, i) => {
        tensor[i] = inputAt(rank, i);
      });
      return tensor;
    };
    return { tensor: make(), others: ranks.map(make) };
  });
  const late = made.map(({ tensor, others }, rank) =>
    run(
      meeting.context(rank),
      executor.span(viewOf(tensor)),
      others.map((other) => executor.span(viewOf(other))),
    ),
  );
  await Promise.all(late);
  return { tensors: made.map(({ tensor }) => tensor as HostArray), steps: meeting.steps, late, memory };
}

const inputAt = (rank: number, i: number) => Math.fround(rank + i / 8);

describe.each(Object.entries(ALGORITHMS))("%s in a region", (_name, { run, steps, result }) => {
  it.each([
    ["that lie in it", (executor: AddressableExecutor) => executor.alloc("f32", 1000)],
    ["that are copied into it", () => new Float32Array(1000)],
  ])("makes the same steps on every rank, of tensors %s", async (_where, tensorOf) => {
    for (const ranks of [
      [0, 1],
      [0, 1, 2],
    ]) {
      const outcome = await call(run, ranks.length, tensorOf);
      expect(outcome.steps).toEqual(ranks.map(() => steps));
      const expected = Float32Array.from({ length: 1000 }, (_, i) => result(ranks.map((rank) => inputAt(rank, i))));
      expect(outcome.tensors[0]).toEqual(expected);
    }
  });

  it("takes long tensors that do not lie in it in stages, whichever they are, with short copies", async () => {
    const count = 1_400_000;
    const random = new SeededRandom(5, "where tensors lie");
    let insideBytes = 0;
    const outcome = await call(run, 2, (executor) => {
      if (random.u32() % 3 > 0) return new Float32Array(count);
      insideBytes += 4 * count;
      return executor.alloc("f32", count);
    });
    const { tensors, memory } = outcome;
    const expected = Float32Array.from({ length: count }, (_, i) => result([inputAt(0, i), inputAt(1, i)]));
    expect(
      Buffer.compare(Buffer.from(tensors[0]!.buffer, tensors[0]!.byteOffset, 4 * count), Buffer.from(expected.buffer)),
    ).toBe(0);
    // Two ranks with a copy of 2 MiB each for up to two tensors, and what the executor has of its own.
    expect(memory.buffer.byteLength - insideBytes).toBeLessThan(12 * 2 ** 20);
  });

  it("ends without a promise where nobody is waited for", async () => {
    const outcome = await call(run, 1, (executor) => executor.alloc("f32", 1000));
    expect(outcome.late).toEqual([undefined]);
    expect(outcome.steps).toEqual([steps]);
  });
});
