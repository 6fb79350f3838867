/**
 * `webccl/nn`: the collectives with gradients, each as `[y, pullback]`.
 * @module
 */
export type { ShapedTensor } from "../types.ts";
export { allGather, allGatherBase, type OutputSplitsOptions } from "./all-gather.ts";
export { allReduce } from "./all-reduce.ts";
export { allToAll, allToAllSingle } from "./all-to-all.ts";
export { broadcast } from "./broadcast.ts";
export { type GatherOptions, gather } from "./gather.ts";
export type { Differentiable, Pullback } from "./pullback.ts";
export { reduce } from "./reduce.ts";
export { reduceScatter, reduceScatterBase } from "./reduce-scatter.ts";
export { type ScatterOptions, scatter } from "./scatter.ts";
