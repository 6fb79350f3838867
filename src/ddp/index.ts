/**
 * `webccl/ddp`: data-parallel training with gradient buckets, as torch.nn.parallel.DistributedDataParallel does it.
 * @module
 */
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
export { BuiltinCommHookType, builtinCommHook } from "./hooks/builtin.ts";
export {
  bf16CompressHook,
  bf16CompressWrapper,
  fp16CompressHook,
  fp16CompressWrapper,
  type HasGroup,
} from "./hooks/half.ts";
export { type PowerSgdOptions, PowerSgdState, powerSgdHook } from "./hooks/power-sgd.ts";
export { fp8CompressHook } from "./hooks/quantised/fp8.ts";
export { type Int8Options, Int8State, int8Hook } from "./hooks/quantised/int8.ts";
export { type TopKOptions, TopKState, topKHook } from "./hooks/top-k.ts";
export { allReduceHook, noopHook } from "./hooks/uncompressed.ts";
export { wireBytes } from "./hooks/wire-bytes.ts";
export { DiLoCo, type DiLoCoOptions } from "./optimizer/diloco.ts";
export { ShardedOptimizer, type ShardedOptimizerOptions } from "./optimizer/sharded-optimizer.ts";
export {
  type AdamOptions,
  adam,
  type SgdOptions,
  sgd,
  type Update,
  type UpdateRule,
} from "./optimizer/update-rules.ts";
export { type Joinable, type JoinContext, type JoinOptions, join } from "./reducer/join.ts";
export type { DdpLoggingData } from "./reducer/logging-data.ts";
export { type PrepareOptions, Reducer } from "./reducer/reducer.ts";
export type { ReducerOptions } from "./reducer/reducer-options.ts";
export { type NamedTensor, verifyParamsAcrossProcesses } from "./verify-params.ts";
