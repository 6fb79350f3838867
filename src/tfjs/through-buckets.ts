/** Tensors of tf.js through collectives: packed into buckets, worked on, and unpacked. */
import { WebcclError } from "../errors.ts";
import type { ProcessGroup } from "../group/process-group.ts";
import type { Named } from "./agreement.ts";
import { type Bucket, pack, planBuckets } from "./buckets.ts";
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
  const buckets: Bucket[] = [];
  try {
    for (const plan of planBuckets(list, bucketBytes ?? DEFAULT_BUCKET_BYTES)) buckets.push(await pack(group, plan));
    if (buckets.length > 0) await work(buckets);
    const made = new Map<number, TfTensor>();
    for (const bucket of buckets) {
      bucket.unpack().forEach((tensor, i) => {
        made.set(bucket.plan.indices[i]!, tensor);
      });
    }
    return list.map(({ name, tensor }, i) => ({ name, tensor: made.get(i) ?? cloneOf(tensor) }));
  } finally {
    for (const bucket of buckets) bucket.dispose();
  }
}

/** Ends the group for the other ranks, which wait for this one, unless the error is one that the group has told them. */
export function abortUnlessTold(group: ProcessGroup, error: unknown): void {
  if (!(error instanceof WebcclError)) group.abort(String(error));
}

/** A tensor of its own with the elements of `tensor`, which it may share. */
export function cloneOf(tensor: TfTensor): TfTensor {
  return engineInUse().runKernel("Identity", { x: tensor });
}
