/** Tensors of tf.js through collectives: packed into buckets, worked on, and unpacked. */
import { MismatchError } from "../errors.ts";
import type { ProcessGroup } from "../group/process-group.ts";
import type { Named } from "./agreement.ts";
import { type Bucket, packAll, planBuckets } from "./buckets.ts";
import { engineInUse, type TfTensor } from "./engine.ts";

/** Bytes of a bucket, unless the caller says otherwise: as in DistributedDataParallel. */
const DEFAULT_BUCKET_BYTES = 25 * 1024 * 1024;

/**
 * Packs `list` into buckets, lets `work` change them in place, and resolves to new tensors with what is in them then. If
 * something throws, all that was made is freed.
 */
export async function throughBuckets(
  group: ProcessGroup,
  list: readonly Named[],
  bucketBytes: number | undefined,
  work: (buckets: readonly Bucket[]) => PromiseLike<void>,
): Promise<Named[]> {
  const buckets = await packAll(group, planBuckets(list, bucketBytes ?? DEFAULT_BUCKET_BYTES));
  try {
    if (buckets.length > 0) await work(buckets);
    return unpackAll(list, buckets);
  } finally {
    for (const bucket of buckets) bucket.dispose();
  }
}

/** New tensors of what is in the buckets, and of those of `list` that are in none. */
function unpackAll(list: readonly Named[], buckets: readonly Bucket[]): Named[] {
  const made = new Map<number, TfTensor>();
  try {
    for (const bucket of buckets) {
      bucket.unpack().forEach((tensor, i) => {
        made.set(bucket.plan.indices[i]!, tensor);
      });
    }
    list.forEach(({ tensor }, i) => {
      if (!made.has(i)) made.set(i, cloneOf(tensor));
    });
  } catch (error) {
    for (const tensor of made.values()) tensor.dispose();
    throw error;
  }
  return list.map(({ name }, i) => ({ name, tensor: made.get(i)! }));
}

/**
 * Ends the group for the other ranks, which wait for this one, unless the error is one that all ranks have: a MismatchError,
 * or that with which the group is dead.
 */
export function abortUnlessTold(group: ProcessGroup, error: unknown): void {
  if (!(error instanceof MismatchError)) group.abort(String(error));
}

/** A tensor of its own with the elements of `tensor`, which it may share. */
export function cloneOf(tensor: TfTensor): TfTensor {
  return engineInUse().runKernel("Identity", { x: tensor });
}
