/** Options of a Reducer. */
import type { ProcessGroup } from "../../group/process-group.ts";
import { checkOptions, type OptionNames } from "../../option-checks.ts";
import { checkFlag, checkGroup, checkWhole } from "../hooks/checks.ts";
import type { NamedTensor } from "../verify-params.ts";

/** The limit of a bucket that is not the first, in bytes: that of PyTorch. */
const BUCKET_BYTES = 25 * 2 ** 20;
/** The limit of the first bucket: a small one is full soon, and the first call begins early. */
const FIRST_BUCKET_BYTES = 2 ** 20;

/**
 * What `new Reducer` takes. All ranks give the same. A rank's tensors may lie in another memory, in the same partition: parameters that
 * share a memory on one rank share one on every rank.
 */
export interface ReducerOptions {
  /** The ranks that train together. */
  group: ProcessGroup;
  /** All parameters, in the order in which the forward pass uses them; their gradients are expected from the last to the first. Each is `{ tensor, shape, name? }`. */
  parameters: readonly NamedTensor[];
  /** A bucket is full when its gradients have so many bytes. Default: 25 MiB. */
  bucketBytes?: number;
  /** Limit of the first bucket. Default: 1 MiB, or `bucketBytes` if that is less. */
  firstBucketBytes?: number;
  /** True: parameters may take no part in a step; it costs one more allReduce of 4 bytes for each parameter. Default: false, a gradient that never comes is an error. */
  findUnusedParameters?: boolean;
  /** True: the averaged gradients stay in the buckets, and `finalize` gives views of them. Default: false, they are copied back into the tensors that `markReady` was given. */
  gradientAsBucketView?: boolean;
}

const REDUCER_OPTIONS: OptionNames<ReducerOptions> = {
  group: true,
  parameters: true,
  bucketBytes: true,
  firstBucketBytes: true,
  findUnusedParameters: true,
  gradientAsBucketView: true,
};

/** The options with every default filled in. */
export function resolvedReducerOptions(options: ReducerOptions): Required<ReducerOptions> {
  checkOptions("Reducer", REDUCER_OPTIONS, options);
  checkGroup("Reducer", options.group);
  const { group, parameters, bucketBytes = BUCKET_BYTES } = options;
  const { firstBucketBytes = Math.min(FIRST_BUCKET_BYTES, bucketBytes) } = options;
  const { findUnusedParameters = false, gradientAsBucketView = false } = options;
  for (const [name, value] of Object.entries({ bucketBytes, firstBucketBytes })) checkWhole("Reducer", name, value, 1);
  for (const [name, value] of Object.entries({ findUnusedParameters, gradientAsBucketView })) {
    checkFlag("Reducer", name, value);
  }
  return { group, parameters, bucketBytes, firstBucketBytes, findUnusedParameters, gradientAsBucketView };
}
