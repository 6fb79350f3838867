/**
 * `webccl/tfjs`: TensorFlow.js over the ranks of a group.
 * @module
 */
export { type AverageOptions, averageGradients } from "./average-gradients.ts";
export {
  type BroadcastVariablesOptions,
  broadcastVariables,
  type TfLayerVariable,
  type Variables,
} from "./broadcast-variables.ts";
export { distributed, type Settling, type TfOptimizer } from "./distributed.ts";
export type { Gradients, NamedGradient, TfTensor, TfVariable } from "./engine.ts";
export { type Parts, valueAndGrads } from "./value-and-grads.ts";
