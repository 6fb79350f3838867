/**
 * `webccl/ort`: models of ONNX Runtime Web over several ranks, by parts of their matrices or stage after stage.
 * @module
 */
export type { OrtTensor } from "../types.ts";
export { type RecvActivationOptions, recvActivation, sendActivation } from "./activation.ts";
export { type ColumnParallelOptions, runColumnParallel } from "./column-parallel.ts";
export { deviceOf } from "./device.ts";
export type { DataOf, GpuType, OrtEnv, OrtOutput, OrtSession, OrtTensorClass, OrtType } from "./onnx-runtime.ts";
export { type RowParallelOptions, runRowParallel } from "./row-parallel.ts";
export type { Outputs } from "./run-session.ts";
export { columnShard, type Member, rowShard, type Shard, type ShardOptions, shardLengths } from "./shard.ts";
