/** `webccl/ddp`: data-parallel training with gradient buckets, as torch.nn.parallel.DistributedDataParallel does it. */
export type { ShapedTensor } from "../types.ts";
export type { CommHook, HookResult } from "./comm-hook.ts";
export { GradBucket, type GradBucketParts } from "./grad-bucket.ts";
