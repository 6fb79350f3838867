/**
 * The collectives that `webccl bench` can measure: one row of five fields for each.
 *
 * Buffers are made of blocks of `count` elements. Block b of rank r starts as the pattern `inputValue(kind, r, b)`,
 * whose values are small whole numbers, so that every dtype holds them and every reduction of them exactly; what must
 * come out is computed from the same patterns without any communication. Sizes, counts and bandwidth factors are
 * nccl-tests' (doc/PERFORMANCE.md there): `count` is one block, `bytes` the larger of a rank's input and output.
 */

import type { ProcessGroup } from "../../group/process-group.ts";
import type { CollectiveOptions } from "../../options.ts";
import type { NamedReduceOp } from "../../reduce-op.ts";
import { type DataType, isFloat8, type Tensor } from "../../types.ts";

export type BenchOp = NamedReduceOp["name"];

/** The tensors of one run. `output` is `input` where the collective works in place. */
export interface BenchBuffers<T extends Tensor = Tensor> {
  input: T;
  output: T;
  /** `input` and `output` cut into their blocks. */
  inputs: readonly T[];
  outputs: readonly T[];
}

/** The value of one element of a block, before any collective. */
export type BlockValue = (rank: number, block: number, index: number) => number;

/** One collective under test. The root of a rooted one is rank 0. */
export interface BenchRow {
  readonly name: string;
  /** Blocks in a rank's input and output; no output means in place. `perRank` blocks share the size, else one has it all. */
  buffers(rank: number, ranks: number): { inputs: number; outputs: number | "in place"; perRank: boolean };
  run(
    group: ProcessGroup,
    buffers: BenchBuffers<Tensor>,
    options: CollectiveOptions & { op: BenchOp },
  ): Promise<unknown>;
  /** The value of `block` of this rank's output afterwards. */
  expected(value: BlockValue, fold: Fold, rank: number, ranks: number): (block: number, index: number) => number;
  /** busbw / algbw, or null where no data moves. */
  readonly factor: ((ranks: number) => number) | null;
}

/** The reduction of `value(rank)` over all ranks, computed here. */
export type Fold = (value: (rank: number) => number) => number;

const ONE_IN_PLACE = () => ({ inputs: 1, outputs: "in place" as const, perRank: false });
const part = (ranks: number) => (ranks - 1) / ranks;

/** Collectives that reduce; the others take no `-o`. */
export const REDUCING: ReadonlySet<string> = new Set(["all_reduce", "reduce_scatter", "reduce"]);

/** Collectives with a root. */
export const ROOTED: ReadonlySet<string> = new Set(["broadcast", "reduce", "gather", "scatter"]);

export const BENCH_TABLE: readonly BenchRow[] = [
  {
    name: "all_reduce",
    buffers: ONE_IN_PLACE,
    run: (group, { input }, options) => group.allReduce(input, options),
    expected: (value, fold) => (block, index) => fold((rank) => value(rank, block, index)),
    factor: (ranks) => (2 * (ranks - 1)) / ranks,
  },
  {
    name: "all_gather",
    buffers: (_rank, ranks) => ({ inputs: 1, outputs: ranks, perRank: true }),
    run: (group, { input, output }, { op: _op, ...options }) => group.allGatherIntoTensor(output, input, options),
    expected: (value) => (block, index) => value(block, 0, index),
    factor: part,
  },
  {
    name: "reduce_scatter",
    buffers: (_rank, ranks) => ({ inputs: ranks, outputs: 1, perRank: true }),
    run: (group, { input, output }, options) => group.reduceScatterTensor(output, input, options),
    expected: (value, fold, self) => (_block, index) => fold((rank) => value(rank, self, index)),
    factor: part,
  },
  {
    name: "broadcast",
    buffers: ONE_IN_PLACE,
    run: (group, { input }, { op: _op, ...options }) => group.broadcast(input, { ...options, root: 0 }),
    expected: (value) => (block, index) => value(0, block, index),
    factor: () => 1,
  },
  {
    name: "reduce",
    buffers: ONE_IN_PLACE,
    run: (group, { input }, options) => group.reduce(input, { ...options, root: 0 }),
    expected: (value, fold, self) => (block, index) =>
      self === 0 ? fold((rank) => value(rank, block, index)) : value(self, block, index),
    factor: () => 1,
  },
  {
    name: "gather",
    buffers: (rank, ranks) => ({ inputs: 1, outputs: rank === 0 ? ranks : 0, perRank: true }),
    run: (group, { input, outputs }, { op: _op, ...options }) =>
      group.gather(group.rank === 0 ? [...outputs] : null, input, { ...options, root: 0 }),
    expected: (value) => (block, index) => value(block, 0, index),
    factor: part,
  },
  {
    name: "scatter",
    buffers: (rank, ranks) => ({ inputs: rank === 0 ? ranks : 0, outputs: 1, perRank: true }),
    run: (group, { output, inputs }, { op: _op, ...options }) =>
      group.scatter(output, group.rank === 0 ? [...inputs] : null, { ...options, root: 0 }),
    expected: (value, _fold, self) => (_block, index) => value(0, self, index),
    factor: part,
  },
  {
    name: "all_to_all",
    buffers: (_rank, ranks) => ({ inputs: ranks, outputs: ranks, perRank: true }),
    run: (group, { input, output }, { op: _op, ...options }) => group.allToAllSingle(output, input, options),
    expected: (value, _fold, self) => (block, index) => value(block, self, index),
    factor: part,
  },
  {
    name: "sendrecv",
    buffers: () => ({ inputs: 1, outputs: 1, perRank: false }),
    run: (group, { input, output }) => {
      const next = (group.rank + 1) % group.size;
      const previous = (group.rank + group.size - 1) % group.size;
      return Promise.all([group.send(input, next), group.recv(output, previous)]);
    },
    expected: (value, _fold, self, ranks) => (block, index) => value((self + ranks - 1) % ranks, block, index),
    factor: () => 1,
  },
  {
    name: "barrier",
    buffers: () => ({ inputs: 0, outputs: 0, perRank: false }),
    run: (group) => group.barrier(),
    expected: () => () => 0,
    factor: null,
  },
];

/** The row of `name`; the command line has checked that there is one. */
export function benchRow(name: string): BenchRow {
  const row = BENCH_TABLE.find((candidate) => candidate.name === name);
  if (!row) throw new RangeError(`no such collective: ${name}`);
  return row;
}

/** Elements of one block when the largest buffer is to have `bytes` bytes: rounded down to equal blocks, at least one. */
export function blockCount(row: BenchRow, bytes: number, elementBytes: number, ranks: number): number {
  if (row.factor === null) return 0;
  const blocks = row.buffers(0, ranks).perRank ? ranks : 1;
  return Math.max(1, Math.floor(bytes / elementBytes / blocks));
}

/** The size column of a row with blocks of `count` elements, in bytes. */
export function reportedBytes(row: BenchRow, count: number, elementBytes: number, ranks: number): number {
  return count * elementBytes * (row.buffers(0, ranks).perRank ? ranks : 1);
}

/**
 * The input patterns for `op`, different in every rank and block. Sums stay below 256, which bf16 still holds exactly, for
 * up to 85 ranks; products are powers of two up to 32; an average, a conjunction or a disjunction is decided by one rank
 * per element, so that results differ however many ranks there are. 8-bit floats hold whole numbers up to 8 exactly, and so one
 * rank decides their sums, too, and their minima and maxima, which would be the same everywhere.
 */
export function inputValue(op: BenchOp | null, ranks: number, dtype: DataType): BlockValue {
  const values = isFloat8(dtype) ? 8 : 128;
  // The lowest bits of the mixture repeat with the index, and with the rank that decides.
  const anyValue = (rank: number, block: number, index: number) => (mix(rank, block, index) >>> 16) % values;
  const decided =
    (neutral: number): BlockValue =>
    (rank, block, index) =>
      (index + block) % ranks === rank ? anyValue(rank, block, index) : neutral;
  switch (op) {
    case "sum":
      if (isFloat8(dtype)) return decided(0);
      return (rank, block, index) => mix(rank, block, index) % (ranks <= 85 ? 4 : 2);
    case "max":
      return isFloat8(dtype) ? decided(0) : anyValue;
    case "min":
      return isFloat8(dtype) ? decided(values - 1) : anyValue;
    case "product":
      return (rank, block, index) => ((index + rank) % ranks < (index + block) % 6 ? 2 : 1);
    case "avg":
    case "bor":
      return decided(0);
    case "band":
      return decided(values - 1);
    default:
      return anyValue;
  }
}

/** A whole number below 2^32 that looks unrelated for neighbours: multiplications by odd constants, shifted into each other. */
function mix(rank: number, block: number, index: number): number {
  let bits = Math.imul(rank + 1, 0x85ebca6b) ^ Math.imul(block + 1, 0xc2b2ae35) ^ Math.imul(index + 1, 0x9e3779b1);
  bits = Math.imul(bits ^ (bits >>> 15), 0x2c1b3c6d);
  return (bits ^ (bits >>> 12)) >>> 0;
}

/** The reference reduction over `ranks` ranks. The mean of integers truncates; of floats it is v * fround(1/ranks). */
export function foldOf(op: BenchOp, ranks: number, reciprocal: number | null): Fold {
  const step = FOLD_STEPS[op];
  return (value) => {
    let result = value(0);
    for (let rank = 1; rank < ranks; rank++) result = step(result, value(rank));
    if (op !== "avg") return result;
    return reciprocal === null ? Math.trunc(result / ranks) : result * reciprocal;
  };
}

const FOLD_STEPS: Readonly<Record<BenchOp, (a: number, b: number) => number>> = {
  sum: (a, b) => a + b,
  avg: (a, b) => a + b,
  product: (a, b) => a * b,
  min: Math.min,
  max: Math.max,
  band: (a, b) => a & b,
  bor: (a, b) => a | b,
  bxor: (a, b) => a ^ b,
};
