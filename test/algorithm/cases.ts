/**
 * One call of each collective on simulated ranks: inputs laid out, the algorithm run, every tensor of every rank checked,
 * those included that must not change.
 */

import { expect } from "vitest";
import { areasRows } from "../../src/algorithm/areas/rows.ts";
import type { Context } from "../../src/algorithm/context.ts";
import { type AlgorithmFamily, loadAlgorithms, type Row } from "../../src/algorithm/rows.ts";
import { algorithmNames, selectAlgorithm, tableWith } from "../../src/backend/direct/select.ts";
import type { ReduceOp } from "../../src/reduce-op.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";
import { describe as viewOf } from "../../src/tensor/describe.ts";
import { combineElements, finishElements, foldElements, prepareElements } from "../../src/testing/reference.ts";
import type { DataType } from "../../src/types.ts";
import { type Outcome, type SimulationOptions, simulate, type WatchedExecutor } from "./simulate.ts";

export type TestArray = Int32Array | Float32Array;

/** What a case is run on. */
export interface CaseOptions extends SimulationOptions {
  dtype: "i32" | "f32";
  /** f32 inputs that round at every step, in place of whole numbers. */
  fractions?: boolean;
  /** Asks of an all-reduce only that all ranks have the same bits, whatever the order of the fold. */
  onlyAgree?: boolean;
  /** Elements of a tensor, or of one rank's share. */
  count: number;
  root?: number;
  /** Each rank's operation; they differ only in the factor of premul-sum. */
  ops?: (rank: number) => ReduceOp;
  /** Gives every rank's block a length of its own, some of them 0. */
  uneven?: boolean;
  /** Lets the output be the memory of this rank's input, where the collective allows that. */
  inPlace?: boolean;
  /** Makes a scan an exclusive one. */
  exclusive?: boolean;
}

export const FAMILIES: readonly AlgorithmFamily[] = [
  "allReduce",
  "reduceScatter",
  "allGather",
  "broadcast",
  "reduce",
  "gather",
  "scatter",
  "allToAll",
  "scan",
];

/** Collectives that fold. */
export const FOLDS: readonly AlgorithmFamily[] = ["allReduce", "reduceScatter", "reduce", "scan"];

const TABLE = tableWith(areasRows);
await loadAlgorithms(TABLE);

/** Every algorithm of a collective as the table has it, apart from those of threads: they run in threads (test/runtime/node). */
export function rowsOf<C extends AlgorithmFamily>(collective: C): Row<C>[] {
  return algorithmNames(TABLE, collective).map((algorithm) =>
    selectAlgorithm(TABLE, {
      crowded: false,
      collective,
      bytes: 0,
      size: 2,
      link: "memory",
      deterministic: false,
      commutative: true,
      sameArithmetic: true,
      hub: "clusters",
      custom: false,
      algorithm,
    }),
  );
}

/** Runs `row` once and checks all it leaves behind. */
export function runCase<C extends AlgorithmFamily>(collective: C, row: Row<C>, options: CaseOptions): Promise<Outcome> {
  const op = opsOf(options)(0);
  const rule = FOLDS.includes(collective) ? { rule: { dtype: options.dtype, op } } : {};
  return CASES[collective](row.run as never, { ...options, ...rule });
}

const newArray = (dtype: DataType, count: number) =>
  dtype === "i32" ? new Int32Array(count) : new Float32Array(count);

/** Any i32; f32 that are whole numbers below 4096, whose sums over 64 ranks are exact in every order. */
function wholeArray(dtype: DataType, count: number, ...labels: (string | number)[]): TestArray {
  const factor = new SeededRandom(7, ...labels).u32() | 1;
  const values = new Int32Array(count);
  const shift = dtype === "i32" ? 0 : 20;
  for (let i = 0; i < count; i++) values[i] = Math.imul(i + 1, factor) >>> shift;
  return dtype === "i32" ? values : Float32Array.from(values);
}

/** f32 of [−1, 1) with all 24 bits in use, so that every order of a sum gives other bits. */
function fractionArray(count: number, ...labels: (string | number)[]): TestArray {
  const random = new SeededRandom(7, ...labels);
  return new Float32Array(count).map(() => (random.u32() / 2 ** 32) * 2 - 1);
}

function inputArray({ dtype, fractions }: CaseOptions, count: number, ...labels: (string | number)[]): TestArray {
  return fractions ? fractionArray(count, ...labels) : wholeArray(dtype, count, ...labels);
}

function ranksOf({ size }: CaseOptions): number[] {
  return Array.from({ length: size }, (_, rank) => rank);
}

/** One random tensor per rank. */
function tensorsOf(options: CaseOptions): TestArray[] {
  return ranksOf(options).map((rank) => inputArray(options, options.count, "tensor", rank));
}

/** The length of `rank`'s block. */
function lengthOf({ count, uneven }: CaseOptions, rank: number, from = 0): number {
  return uneven ? Math.floor((count * ((3 * rank + from) % 5)) / 2) : count;
}

function opsOf({ ops }: CaseOptions): (rank: number) => ReduceOp {
  return ops ?? (() => ({ name: "sum" }));
}

function fold(options: CaseOptions, inputs: readonly TestArray[]): TestArray {
  const ops = inputs.map((_, rank) => opsOf(options)(rank));
  return foldElements(options.dtype, ops, inputs, options.size) as TestArray;
}

/** Compares bits, so that 0 is not −0; names the first place that differs. Without a matcher, which costs more than the comparison. */
function expectEqual(actual: TestArray, expected: TestArray, what: string): void {
  const bits = (array: TestArray) => new Int32Array(array.buffer, array.byteOffset, array.length);
  const [left, right] = [bits(actual), bits(expected)];
  if (left.length !== right.length) expect.fail(`${what}: ${left.length} elements, and should be ${right.length}`);
  let at = 0;
  while (at < left.length && left[at] === right[at]) at++;
  if (at < left.length) expect.fail(`${what}: element ${at} is ${actual[at]}, and should be ${expected[at]}`);
}

const FILLER = 77;
const CASES: {
  [C in AlgorithmFamily]: (run: Row<C>["run"], options: CaseOptions) => Promise<Outcome>;
} = {
  allReduce: async (run, options) => {
    const inputs = tensorsOf(options);
    const tensors = inputs.map((input) => input.slice());
    const outcome = await simulate(options, async (context, executor) =>
      run(context, executor.span(viewOf(tensors[context.rank]!)), opsOf(options)(context.rank)),
    );
    const expected = options.onlyAgree ? tensors[0]! : fold(options, inputs);
    tensors.forEach((tensor, rank) => {
      expectEqual(tensor, expected, `tensor of rank ${rank}`);
    });
    return outcome;
  },

  reduceScatter: async (run, options) => {
    const ranks = ranksOf(options);
    const inputs = ranks.map((rank) =>
      ranks.map((owner) => inputArray(options, lengthOf(options, owner), "input", rank, owner)),
    );
    const kept = inputs.map((list) => list.map((input) => input.slice()));
    const outputs = ranks.map((rank) =>
      options.inPlace ? inputs[rank]![rank]! : newArray(options.dtype, lengthOf(options, rank)).fill(FILLER),
    );
    const outcome = await simulate(options, async (context, executor) =>
      run(
        context,
        executor.span(viewOf(outputs[context.rank]!)),
        spans(executor, inputs[context.rank]!),
        opsOf(options)(context.rank),
      ),
    );
    for (const rank of ranks) {
      const expected = fold(
        options,
        kept.map((list) => list[rank]!),
      );
      expectEqual(outputs[rank]!, expected, `output of rank ${rank}`);
      for (const owner of ranks) {
        if (options.inPlace && owner === rank) continue;
        expectEqual(inputs[rank]![owner]!, kept[rank]![owner]!, `input ${owner} of rank ${rank}`);
      }
    }
    return outcome;
  },

  allGather: async (run, options) => {
    const ranks = ranksOf(options);
    const inputs = ranks.map((rank) => inputArray(options, lengthOf(options, rank), "input", rank));
    const kept = inputs.map((input) => input.slice());
    const outputs = ranks.map((rank) =>
      ranks.map((owner) =>
        options.inPlace && owner === rank
          ? inputs[rank]!
          : newArray(options.dtype, lengthOf(options, owner)).fill(FILLER),
      ),
    );
    const outcome = await simulate(options, async (context, executor) =>
      run(context, spans(executor, outputs[context.rank]!), executor.span(viewOf(inputs[context.rank]!))),
    );
    for (const rank of ranks) {
      expectEqual(inputs[rank]!, kept[rank]!, `input of rank ${rank}`);
      outputs[rank]!.forEach((output, owner) => {
        expectEqual(output, kept[owner]!, `output ${owner} of rank ${rank}`);
      });
    }
    return outcome;
  },

  broadcast: async (run, options) => {
    const { root = 0 } = options;
    const tensors = tensorsOf(options);
    const expected = tensors[root]!.slice();
    const outcome = await simulate(options, async (context, executor) =>
      run(context, executor.span(viewOf(tensors[context.rank]!)), root),
    );
    tensors.forEach((tensor, rank) => {
      expectEqual(tensor, expected, `tensor of rank ${rank}`);
    });
    return outcome;
  },

  reduce: async (run, options) => {
    const { root = 0 } = options;
    const inputs = tensorsOf(options);
    const tensors = inputs.map((input) => input.slice());
    const outcome = await simulate(options, async (context, executor) =>
      run(context, executor.span(viewOf(tensors[context.rank]!)), root, opsOf(options)(context.rank)),
    );
    tensors.forEach((tensor, rank) => {
      expectEqual(tensor, rank === root ? fold(options, inputs) : inputs[rank]!, `tensor of rank ${rank}`);
    });
    return outcome;
  },

  gather: async (run, options) => {
    const { root = 0 } = options;
    const ranks = ranksOf(options);
    const inputs = ranks.map((rank) => inputArray(options, lengthOf(options, rank), "input", rank));
    const kept = inputs.map((input) => input.slice());
    const outputs = inputs.map((input, rank) =>
      options.inPlace && rank === root ? input : newArray(options.dtype, input.length).fill(FILLER),
    );
    const outcome = await simulate(options, async (context, executor) =>
      run(
        context,
        context.rank === root ? spans(executor, outputs) : null,
        executor.span(viewOf(inputs[context.rank]!)),
        root,
      ),
    );
    for (const rank of ranks) {
      expectEqual(inputs[rank]!, kept[rank]!, `input of rank ${rank}`);
      expectEqual(outputs[rank]!, kept[rank]!, `output ${rank}`);
    }
    return outcome;
  },

  scatter: async (run, options) => {
    const { root = 0 } = options;
    const ranks = ranksOf(options);
    const inputs = ranks.map((rank) => inputArray(options, lengthOf(options, rank), "input", rank));
    const kept = inputs.map((input) => input.slice());
    const outputs = inputs.map((input, rank) =>
      options.inPlace && rank === root ? input : newArray(options.dtype, input.length).fill(FILLER),
    );
    const outcome = await simulate(options, async (context, executor) =>
      run(
        context,
        executor.span(viewOf(outputs[context.rank]!)),
        context.rank === root ? spans(executor, inputs) : null,
        root,
      ),
    );
    for (const rank of ranks) {
      expectEqual(inputs[rank]!, kept[rank]!, `input ${rank}`);
      expectEqual(outputs[rank]!, kept[rank]!, `output of rank ${rank}`);
    }
    return outcome;
  },

  allToAll: async (run, options) => {
    const ranks = ranksOf(options);
    const inputs = ranks.map((from) =>
      ranks.map((to) => inputArray(options, lengthOf(options, to, from), "input", from, to)),
    );
    const kept = inputs.map((list) => list.map((input) => input.slice()));
    const outputs = ranks.map((to) =>
      ranks.map((from) => newArray(options.dtype, lengthOf(options, to, from)).fill(FILLER)),
    );
    const outcome = await simulate(options, async (context, executor) =>
      run(context, spans(executor, outputs[context.rank]!), spans(executor, inputs[context.rank]!)),
    );
    for (const from of ranks) {
      for (const to of ranks) {
        expectEqual(inputs[from]![to]!, kept[from]![to]!, `input ${to} of rank ${from}`);
        expectEqual(outputs[to]![from]!, kept[from]![to]!, `output ${from} of rank ${to}`);
      }
    }
    return outcome;
  },

  scan: async (run, options) => {
    const inputs = tensorsOf(options);
    const tensors = inputs.map((input) => input.slice());
    const { exclusive = false, dtype, size } = options;
    const outcome = await simulate(options, async (context, executor) =>
      run(context, executor.span(viewOf(tensors[context.rank]!)), opsOf(options)(context.rank), { exclusive }),
    );
    let below: TestArray | null = null;
    tensors.forEach((tensor, rank) => {
      const op = opsOf(options)(rank);
      const mine = prepareElements(dtype, op, inputs[rank]!, size) as TestArray;
      const upTo: TestArray = below ? (combineElements(dtype, op, below, mine) as TestArray) : mine;
      const kept = exclusive ? below : upTo;
      const expected = kept ? (finishElements(dtype, op, kept, size) as TestArray) : inputs[rank]!;
      expectEqual(tensor, expected, `tensor of rank ${rank}`);
      below = upTo;
    });
    return outcome;
  },

  barrier: (run, options) => simulate(options, async (context: Context) => run(context)),
};

function spans(executor: WatchedExecutor, arrays: readonly TestArray[]) {
  return arrays.map((array) => executor.span(viewOf(array)));
}
