/** `webccl/ddp`: data-parallel training with gradient buckets, as torch.nn.parallel.DistributedDataParallel does it. */
export type { ShapedTensor } from "../types.ts";
export { type BroadcastCoalescedOptions, broadcastCoalesced } from "./broadcast-coalesced.ts";
export { computeBucketAssignmentBySize } from "./bucket-assignment.ts";
export {
  type CheckpointOptions,
  type GatherCheckpointOptions,
  gatherCheckpoint,
  loadCheckpoint,
  scatterCheckpoint,
} from "./checkpoint/checkpoint.ts";
export { decodeSafetensors, encodeSafetensors, type NamedTensors, type Safetensors } from "./checkpoint/safetensors.ts";
export type { CommHook, HookResult } from "./comm-hook.ts";
export { DistributedSampler, type DistributedSamplerOptions } from "./distributed-sampler.ts";
export { GradBucket, type GradBucketParts } from "./grad-bucket.ts";
export { type NamedTensor, verifyParamsAcrossProcesses } from "./verify-params.ts";
