/**
 * The parts of TensorFlow.js that webccl uses, as structural types, and the engine that runs them.
 *
 * All copies of tf.js in one realm, a bundle's or a script tag's, share one engine: the first copy puts it on the global
 * object, and `tf.engine()` of each returns it. So this folder imports no package, and works beside @tensorflow/tfjs,
 * @tensorflow/tfjs-core with a backend, and @tensorflow/tfjs-node alike.
 */
import type { GpuBufferLike } from "../types.ts";

/** A tf.Tensor. */
export interface TfTensor {
  /** Its shape. */
  readonly shape: readonly number[];
  /** Its type, such as "float32". */
  readonly dtype: string;
  /** How many elements it has. */
  readonly size: number;
  /** Has it been disposed of? */
  readonly isDisposed: boolean;
  /** Resolves to its elements. */
  data(): Promise<ArrayLike<unknown>>;
  /** Its elements as a GPUBuffer, on the WebGPU backend. */
  dataToGPU(): { tensorRef: TfTensor; buffer?: GpuBufferLike };
  /** Frees its memory. */
  dispose(): void;
}

/** A tf.Variable. */
export interface TfVariable extends TfTensor {
  /** Its name. */
  readonly name: string;
  /** Changes its value. */
  assign(value: TfTensor): void;
}

/** A gradient with its variable's name, as `applyGradients` takes it. */
export interface NamedGradient {
  /** The name of its variable. */
  name: string;
  /** The gradient. */
  tensor: TfTensor;
}

/** Gradients as tf.js gives and takes them: by variable name, or as a list. */
export type Gradients = Readonly<Record<string, TfTensor>> | readonly NamedGradient[];

/** The part of `tf.engine()` that is used here. */
export interface TfEngine {
  readonly backendName: string;
  /** With the webgpu backend it has the device. */
  readonly backend: { readonly device?: unknown };
  runKernel(name: string, inputs: object, attributes?: object): TfTensor;
  makeTensor(values: ArrayLike<unknown>, shape: readonly number[], dtype: string): TfTensor;
  tidy<T>(body: () => T): T;
  keep<T>(tensor: T): T;
  /** Runs `f`, and takes the gradient `dy` of its result to those of `xs`; undefined for one that the result does not depend on. */
  gradients(
    f: () => TfTensor,
    xs: readonly TfTensor[],
    dy: TfTensor,
    allowNoGradients: boolean,
  ): { value: TfTensor; grads: (TfTensor | undefined)[] };
}

/**
 * The engine of this realm's tf.js.
 * @throws TypeError if tf.js is not loaded.
 */
export function engineInUse(): TfEngine {
  const engine = (globalThis as { _tfengine?: TfEngine })._tfengine;
  if (!engine) throw new TypeError("TensorFlow.js is not loaded: import @tensorflow/tfjs before the call");
  return engine;
}

/** Is `value` a tf.Tensor? */
export function isTfTensor(value: unknown): value is TfTensor {
  return typeof value === "object" && value !== null && "dataId" in value && "dataToGPU" in value;
}
