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
export { ShardedOptimizer, type ShardedOptimizerOptions } from "./optimizer/sharded-optimizer.ts";
export {
  type AdamOptions,
  adam,
  type SgdOptions,
  sgd,
  type Update,
  type UpdateRule,
} from "./optimizer/update-rules.ts";
export { type Joinable, type JoinOptions, join } from "./reducer/join.ts";
export type { DdpLoggingData } from "./reducer/logging-data.ts";
export { type PrepareOptions, Reducer } from "./reducer/reducer.ts";
export type { ReducerOptions } from "./reducer/reducer-options.ts";
export { type NamedTensor, verifyParamsAcrossProcesses } from "./verify-params.ts";
