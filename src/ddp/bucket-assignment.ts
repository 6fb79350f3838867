/**
 * Which gradients share a bucket. Source: compute_bucket_assignment_by_size of torch/csrc/distributed/c10d/reducer.cpp.
 */
import { describeArgument } from "../tensor/describe.ts";
import type { TensorView } from "../tensor/view.ts";
import type { ShapedTensor, Tensor } from "../types.ts";

/** The limit of a bucket that has none: that of one gradient that is expected to be sparse. */
const NO_LIMIT = 0;

/** A bucket that is still open. */
interface OpenBucket {
  indices: number[];
  bytes: number;
  /** Which of the limits it has. */
  limit: number;
}

/**
 * Puts tensors into buckets. A bucket holds tensors of one dtype and one memory (the host, a GPU, a CUDA device), in the order of
 * the list, and is full when its bytes reach its limit. The first bucket of each kind has the first limit, the next the
 * second and so on; the last limit holds for all that follow. A tensor that is expected to have a sparse gradient has a
 * bucket of its own.
 *
 * Without `tensorIndices` the buckets are in the order of their first tensors. With it (the indices of parameters in the
 * order in which their gradients arrive, say) they are in the order in which they became full, and then those that did not,
 * the kind that came last in front, as PyTorch's come. Ranks get the same buckets if their tensors are the same in the same
 * partition: tensors that share a memory on one rank share one on every rank.
 * @param limits bytes; PyTorch's DDP takes 1 MiB and then 25 MiB.
 * @param expectSparse one flag for each index, or none at all: `expectSparse[index]`, not the place in the list. (PyTorch wants
 * as many flags as tensors, and reads behind the end of the list for an index that is larger.)
 * @param tensorIndices the index of each tensor, or none: then it is the place in the list.
 * @returns the indices in each bucket, and each bucket's limit in bytes, 0 for one without a limit.
 * @throws TypeError for an argument of the wrong type, or for a value that is not a tensor.
 * @throws RangeError if there are no tensors or no limits, a limit or an index is no whole number, an index comes twice, or there
 * are too few flags or not as many indices as tensors.
 */
export function computeBucketAssignmentBySize(
  tensors: readonly (Tensor | ShapedTensor)[],
  limits: readonly number[],
  expectSparse: readonly boolean[] = [],
  tensorIndices: readonly number[] = [],
): [bucketIndices: number[][], perBucketLimits: number[]] {
  const views = checkedViews(tensors, limits, expectSparse, tensorIndices);
  const full: { indices: number[]; limit: number }[] = [];
  const open = new Map<unknown, OpenBucket>();
  for (const [place, view] of views.entries()) {
    const index = tensorIndices[place] ?? place;
    if (expectSparse[index]) {
      full.push({ indices: [index], limit: NO_LIMIT });
      continue;
    }
    const kind = kindOf(view);
    const bucket = open.get(kind) ?? { indices: [], bytes: 0, limit: 0 };
    open.set(kind, bucket);
    bucket.indices.push(index);
    bucket.bytes += view.byteLength;
    const limit = limits[bucket.limit] ?? NO_LIMIT;
    if (bucket.bytes < limit) continue;
    full.push({ indices: bucket.indices, limit });
    open.set(kind, { indices: [], bytes: 0, limit: Math.min(bucket.limit + 1, limits.length - 1) });
  }
  for (const { indices, limit } of [...open.values()].reverse()) {
    if (indices.length > 0) full.push({ indices, limit: limits[limit] ?? NO_LIMIT });
  }
  if (tensorIndices.length === 0) full.sort((a, b) => (a.indices[0] ?? 0) - (b.indices[0] ?? 0));
  return [full.map(({ indices }) => indices), full.map(({ limit }) => limit)];
}

/** Equal for tensors that may share a bucket. */
function kindOf(view: TensorView): string {
  const device = view.memory === "cuda" ? view.buffer.device : "";
  return `${view.dtype} ${view.memory} ${device}`;
}

function checkedViews(
  tensors: readonly (Tensor | ShapedTensor)[],
  limits: readonly number[],
  expectSparse: readonly boolean[],
  tensorIndices: readonly number[],
): TensorView[] {
  for (const [name, list] of Object.entries({ tensors, limits, expectSparse, tensorIndices })) {
    if (!Array.isArray(list)) throw new TypeError(`computeBucketAssignmentBySize: ${name} must be a list`);
  }
  if (tensors.length === 0) throw new RangeError("computeBucketAssignmentBySize: there are no tensors");
  if (limits.length === 0) throw new RangeError("computeBucketAssignmentBySize: there are no limits");
  for (const [name, list] of Object.entries({ limits, tensorIndices })) {
    const wrong = list.find((value) => !Number.isSafeInteger(value) || value < 0);
    if (wrong === undefined) continue;
    throw new RangeError(`computeBucketAssignmentBySize: ${name} must hold whole numbers from 0 on, got ${wrong}`);
  }
  if (tensorIndices.length > 0 && tensorIndices.length !== tensors.length) {
    throw new RangeError(
      `computeBucketAssignmentBySize: tensorIndices has ${tensorIndices.length} entries, and there are ${tensors.length} tensors`,
    );
  }
  const largest = tensorIndices.reduce(
    (most, index) => Math.max(most, index),
    tensorIndices.length > 0 ? 0 : tensors.length - 1,
  );
  if (expectSparse.length > 0 && expectSparse.length <= largest) {
    throw new RangeError(
      `computeBucketAssignmentBySize: expectSparse has ${expectSparse.length} flags, and the largest index is ${largest}`,
    );
  }
  const seen = new Set<number>();
  const twice = tensorIndices.find((index) => seen.has(index) || !seen.add(index));
  if (twice !== undefined) throw new RangeError(`computeBucketAssignmentBySize: tensorIndices has ${twice} twice`);
  return tensors.map((given, i) => describeArgument(tensorOf(given), `tensors[${i}]`));
}

/** The tensor of one that may have a shape. */
function tensorOf(given: Tensor | ShapedTensor): Tensor {
  return typeof given === "object" && given !== null && "shape" in given ? given.tensor : given;
}
