/**
 * powerSgdHook: each gradient that is a matrix as the product of two thin ones, by one step of power iteration.
 *
 * A gradient M of n rows (its first dimension) and m columns (the others) is sent as P (n × r) and Q (m × r). Each rank keeps what
 * the product lacks, and adds it the next time.
 *
 *     1. M = gradient + what was kept; Q of the last time, or random columns, made orthonormal
 *     2. P = M · Q of each rank; an allReduce averages P, together with all gradients that are sent as they are
 *     3. P is made orthonormal; Q = Mᵀ · P of each rank; an allReduce averages Q
 *     4. the result is P · Qᵀ, the same bits on all ranks; kept is M − P · Qᵀ
 *
 * Vectors are sent as they are, and matrices for which (n + m) · r · minCompressionRate ≥ n · m. A matrix that has a NaN or an Inf on any
 * rank becomes NaN where its P or Q is; nothing of it is kept then, and Q is drawn anew.
 *
 * Bytes: an allReduce of u + r Σn elements and one of r Σm, 4 bytes each, where u elements are sent as they are. Memory: the bucket
 * twice, P and Q. The arithmetic is on the host.
 *
 * Sources: T. Vogels, S. P. Karimireddy, M. Jaggi 2019, "PowerSGD", arXiv:1905.13727; powerSGD_hook of
 * torch.distributed.algorithms.ddp_comm_hooks.
 */
import type { ProcessGroup } from "../../group/process-group.ts";
import type { TurnPart } from "../../group/turns.ts";
import { checkOptions, type OptionNames } from "../../option-checks.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import type { CommHook } from "../comm-hook.ts";
import { countOf, type GradBucket } from "../grad-bucket.ts";
import { BucketStates, offsetsOf } from "./bucket-states.ts";
import { inTurnOf } from "./bucket-turn.ts";
import { checkFlag, checkGroup, checkSeed, checkWhole } from "./checks.ts";
import { compressible, readGradients, writeGradients } from "./gradients.ts";
import { type Matrix, multiply, multiplyByTransposed, multiplyTransposed, orthogonalize } from "./matrix.ts";

/** Options of {@link PowerSgdState}; all but `group` are the same on all ranks. */
export interface PowerSgdOptions {
  /** The group that reduces. */
  group: ProcessGroup;
  /** r, the columns of P and Q. Default: 1. */
  matrixApproximationRank?: number;
  /** Iterations in which the gradients are averaged as they are, before the first that compresses. Default: 1000. */
  startIteration?: number;
  /** A matrix is compressed if that saves more than this factor. Default: 2. */
  minCompressionRate?: number;
  /** What the product lacks is added the next time. Default: true. */
  errorFeedback?: boolean;
  /** Q begins as it was the last time. Default: true. */
  warmStart?: boolean;
  /** Is added to the length of a column when it is made a unit vector. Default: 0. */
  orthogonalizationEpsilon?: number;
  /** Where the first Q comes from, a whole number of 32 bits. Default: 0. */
  seed?: number;
}

const OPTIONS: OptionNames<PowerSgdOptions> = {
  group: true,
  matrixApproximationRank: true,
  startIteration: true,
  minCompressionRate: true,
  errorFeedback: true,
  warmStart: true,
  orthogonalizationEpsilon: true,
  seed: true,
};

/** A matrix of a bucket. */
interface Part {
  /** Its first element in the bucket. */
  readonly offset: number;
  readonly rows: number;
  readonly columns: number;
  /** Columns of its P and Q. */
  readonly rank: number;
  /** Its Q; empty before the first time, and after one that had a NaN. */
  q: Float32Array;
}

/** What a rank keeps of a bucket. */
interface Kept {
  readonly error: Float32Array;
  readonly parts: readonly Part[];
  /** Gradients that are sent as they are. */
  readonly plain: readonly { readonly offset: number; readonly count: number }[];
  /** How often the bucket was compressed. */
  rounds: number;
}

/** The state of {@link powerSgdHook}, one for each Reducer and rank. */
export class PowerSgdState {
  /** The group whose ranks reduce. */
  readonly group: ProcessGroup;
  /** The options, with every default filled in. */
  readonly options: Readonly<Required<PowerSgdOptions>>;
  /** @internal */
  readonly buckets: BucketStates<Kept> = new BucketStates<Kept>();
  /** Iterations so far: last buckets that have been reduced. */
  iteration = 0;

  /** @throws TypeError for an unknown option or a wrong type. @throws RangeError for a number that is out of range. */
  constructor(options: PowerSgdOptions) {
    checkOptions("PowerSgdState", OPTIONS, options);
    const { group, matrixApproximationRank = 1, startIteration = 1000, minCompressionRate = 2 } = options;
    const { errorFeedback = true, warmStart = true, orthogonalizationEpsilon = 0, seed = 0 } = options;
    checkGroup("PowerSgdState", group);
    checkWhole("PowerSgdState", "matrixApproximationRank", matrixApproximationRank, 1);
    checkWhole("PowerSgdState", "startIteration", startIteration, 0);
    checkSeed("PowerSgdState", seed);
    checkFlag("PowerSgdState", "errorFeedback", errorFeedback);
    checkFlag("PowerSgdState", "warmStart", warmStart);
    for (const [name, value] of Object.entries({ minCompressionRate, orthogonalizationEpsilon })) {
      if (Number.isFinite(value) && value >= 0) continue;
      throw new RangeError(`PowerSgdState: ${name} must be a number from 0 on, got ${String(value)}`);
    }
    this.group = group;
    this.options = {
      ...{ group, matrixApproximationRank, startIteration, minCompressionRate },
      ...{ errorFeedback, warmStart, orthogonalizationEpsilon, seed },
    };
  }
}

/**
 * The bucket's average by way of matrices of low rank.
 * @throws TypeError if the bucket's dtype is not f16, bf16, f32 or f64. @throws UnsupportedError if it is in CUDA memory.
 */
export const powerSgdHook: CommHook<PowerSgdState> = async (state, bucket) => {
  const { group, options } = state;
  const view = compressible("powerSgdHook", group, bucket.buffer());
  const compresses = state.iteration >= options.startIteration;
  if (bucket.isLast()) state.iteration++;
  await inTurnOf(group, bucket, async (part) => {
    if (!compresses) {
      await group.allReduce(bucket.buffer(), { ...part, op: "avg" });
      return;
    }
    const values = await readGradients(group, view);
    const kept = state.buckets.of(bucket, () => keptOf(bucket, values.length, options));
    await compress(state, part, kept, values, bucket.index());
    await writeGradients(group, view, values);
  });
  return bucket.buffer();
};

function keptOf(bucket: GradBucket, count: number, options: PowerSgdState["options"]): Kept {
  const parts: Part[] = [];
  const plain: { offset: number; count: number }[] = [];
  const offsets = offsetsOf(bucket);
  for (const [i, { shape }] of bucket.parameters().entries()) {
    const offset = offsets[i] ?? 0;
    const part = partOf(shape, options);
    if (part) parts.push({ ...part, offset, q: new Float32Array(0) });
    else plain.push({ offset, count: countOf(shape) });
  }
  return { error: new Float32Array(count), parts, plain, rounds: 0 };
}

/** The gradient of this shape as a matrix; null if it is sent as it is. */
function partOf(
  shape: readonly number[],
  {
    matrixApproximationRank,
    minCompressionRate,
  }: Pick<Required<PowerSgdOptions>, "matrixApproximationRank" | "minCompressionRate">,
): Pick<Part, "rows" | "columns" | "rank"> | null {
  const [rows = 1, ...others] = shape;
  if (others.length === 0) return null;
  const columns = countOf(others);
  const rank = Math.min(rows, columns, matrixApproximationRank);
  return (rows + columns) * rank * minCompressionRate < rows * columns ? { rows, columns, rank } : null;
}

/** Puts the average in place of `values`. */
async function compress(
  state: PowerSgdState,
  call: TurnPart,
  kept: Kept,
  values: Float32Array,
  index: number,
): Promise<void> {
  const { group, options } = state;
  const { error, parts, plain } = kept;
  if (options.errorFeedback) {
    for (const { offset, rows, columns } of parts) {
      for (let i = offset; i < offset + rows * columns; i++) values[i] = values[i]! + error[i]!;
    }
  }
  const matrixOf = ({ offset, rows, columns }: Part): Matrix => {
    return { values: values.subarray(offset, offset + rows * columns), rows, columns };
  };

  const ps = new Layout(plain.map(({ count }) => count).concat(parts.map(({ rows, rank }) => rows * rank)));
  for (const [i, { offset, count }] of plain.entries()) ps.part(i).set(values.subarray(offset, offset + count));
  const pOf = (i: number, { rows, rank }: Part) => ({ values: ps.part(plain.length + i), rows, columns: rank });
  for (const [i, part] of parts.entries()) {
    multiply(matrixOf(part), startOf(part, options, `${index}.${i}.${kept.rounds}`), pOf(i, part));
  }
  await group.allReduce(ps.values, { ...call, op: "avg" });

  const qs = new Layout(parts.map(({ columns, rank }) => columns * rank));
  const qOf = (i: number, { columns, rank }: Part) => ({ values: qs.part(i), rows: columns, columns: rank });
  for (const [i, part] of parts.entries()) {
    orthogonalize(pOf(i, part), options.orthogonalizationEpsilon);
    multiplyTransposed(matrixOf(part), pOf(i, part), qOf(i, part));
  }
  await group.allReduce(qs.values, { ...call, op: "avg" });

  kept.rounds++;
  for (const [i, { offset, count }] of plain.entries()) values.set(ps.part(i).subarray(0, count), offset);
  for (const [i, part] of parts.entries()) {
    const result = matrixOf(part);
    const kept = error.subarray(part.offset, part.offset + result.values.length);
    kept.set(result.values);
    multiplyByTransposed(pOf(i, part), qOf(i, part), result);
    const isSound = [pOf(i, part), qOf(i, part)].every((matrix) => matrix.values.every(Number.isFinite));
    for (let e = 0; e < kept.length; e++) kept[e] = isSound ? kept[e]! - result.values[e]! : 0;
    part.q = isSound ? qs.part(i).slice() : new Float32Array(0);
  }
}

/** The Q with which an iteration begins, its columns orthonormal. */
function startOf(part: Part, options: PowerSgdState["options"], label: string): Matrix {
  const { columns: rows, rank: columns } = part;
  const isWarm = options.warmStart && part.q.length > 0;
  const values = isWarm ? part.q : new Float32Array(rows * columns);
  if (!isWarm) {
    const random = new SeededRandom(options.seed, "powerSgdHook", label);
    for (let i = 0; i < values.length; i++) values[i] = random.u32() / 2 ** 31 - 1;
  }
  orthogonalize({ values, rows, columns }, options.orthogonalizationEpsilon);
  return { values, rows, columns };
}

/** Several arrays in one, for one allReduce. */
class Layout {
  readonly values: Float32Array;
  readonly #ends: number[];

  constructor(counts: readonly number[]) {
    let end = 0;
    this.#ends = counts.map((count) => {
      end += count;
      return end;
    });
    this.values = new Float32Array(end);
  }

  part(i: number): Float32Array {
    return this.values.subarray(this.#ends[i - 1] ?? 0, this.#ends[i]);
  }
}

/** Bytes that all ranks together send for a bucket of gradients of these shapes, once it is compressed. */
export function powerSgdWireBytes(
  shapes: readonly (readonly number[])[],
  size: number,
  { matrixApproximationRank = 1, minCompressionRate = 2 }: Partial<PowerSgdOptions> = {},
): number {
  let elements = 0;
  for (const shape of shapes) {
    const part = partOf(shape, { matrixApproximationRank, minCompressionRate });
    elements += part ? (part.rows + part.columns) * part.rank : countOf(shape);
  }
  return 2 * (size - 1) * 4 * elements;
}
