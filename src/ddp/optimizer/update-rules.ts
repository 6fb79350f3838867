/**
 * Update rules: how an optimizer makes new parameters of old ones and their gradients. They work on single elements, so a share
 * of the parameters is updated as the whole would be, to the last bit. For f32 and f64 in host memory.
 */
import { checkOptions, type OptionNames } from "../../option-checks.ts";
import type { DataType, Tensor } from "../../types.ts";
import { checkFlag } from "../hooks/checks.ts";
import { numbersOf } from "../reducer/memory.ts";

/** One update of some parameters. The tensors have as many elements as each other, and the rule changes `parameters` and `state`. */
export interface Update<S> {
  /** The elements, which are changed in place. */
  parameters: Tensor;
  /** The gradient of each element. */
  gradients: Tensor;
  /** What the rule keeps between updates. */
  state: S;
  /** The number of the update, from 1 on. */
  iteration: number;
}

/** An optimizer without its parameters. A rule of one's own may work on tensors in any memory. */
export interface UpdateRule<S = unknown> {
  /** Throws for a parameter that the rule cannot update. Default: it updates any. */
  check?(parameter: Tensor): void;
  /** The state of `count` elements of `dtype` before the first update. */
  initialState(count: number, dtype: DataType): S;
  /** Makes one step on the elements of one shard. */
  update(update: Update<S>): void | PromiseLike<void>;
}

/** Options of `sgd`. */
export interface SgdOptions {
  /** How far a step goes along the gradient. */
  learningRate: number;
  /** How much of the last update stays in the next. Default: 0. */
  momentum?: number;
  /** Nesterov's form: the gradient is taken where the momentum leads. Default: false. */
  nesterov?: boolean;
}

const SGD_OPTIONS: OptionNames<SgdOptions> = { learningRate: true, momentum: true, nesterov: true };

/**
 * Stochastic gradient descent, as torch.optim.SGD: v = momentum × v + g, then p = p − learningRate × v; with `nesterov`
 * p = p − learningRate × (g + momentum × v).
 * @throws TypeError or RangeError for a wrong option.
 */
export function sgd(options: SgdOptions): UpdateRule<Float64Array | Float32Array> {
  checkOptions("sgd", SGD_OPTIONS, options);
  const { learningRate, momentum = 0, nesterov = false } = options;
  checkNumbers("sgd", { learningRate, momentum });
  checkFlag("sgd", "nesterov", nesterov);
  return {
    check: numbersOf,
    initialState: zeros,
    update({ parameters, gradients, state: velocity }) {
      const [values, slopes] = [numbersOf(parameters), numbersOf(gradients)];
      for (let i = 0; i < values.length; i++) {
        const slope = slopes[i] ?? 0;
        velocity[i] = momentum * (velocity[i] ?? 0) + slope;
        const step = nesterov ? slope + momentum * (velocity[i] ?? 0) : (velocity[i] ?? 0);
        values[i] = (values[i] ?? 0) - learningRate * step;
      }
    },
  };
}

/** Options of `adam`. */
export interface AdamOptions {
  /** Default: 0.001. */
  learningRate?: number;
  /** Share of the old mean that stays. Default: 0.9. */
  beta1?: number;
  /** Share of the old mean of squares that stays. Default: 0.999. */
  beta2?: number;
  /** Keeps the divisor from zero. Default: 1e-8. */
  epsilon?: number;
}

const ADAM_OPTIONS: OptionNames<AdamOptions> = { learningRate: true, beta1: true, beta2: true, epsilon: true };

/**
 * Adam. Source: Kingma and Ba 2014, arXiv:1412.6980.
 * @throws TypeError or RangeError for a wrong option.
 */
export function adam(
  options: AdamOptions = {},
): UpdateRule<{ mean: Float32Array | Float64Array; square: Float32Array | Float64Array }> {
  checkOptions("adam", ADAM_OPTIONS, options);
  const { learningRate = 0.001, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8 } = options;
  checkNumbers("adam", { learningRate, beta1, beta2, epsilon });
  for (const [name, value] of Object.entries({ beta1, beta2 })) {
    if (value >= 1)
      throw new RangeError(`adam: ${name} must be below 1, got ${value}: nothing of a gradient would count`);
  }
  return {
    check: numbersOf,
    initialState: (count, dtype) => ({ mean: zeros(count, dtype), square: zeros(count, dtype) }),
    update({ parameters, gradients, state: { mean, square }, iteration }) {
      const [values, slopes] = [numbersOf(parameters), numbersOf(gradients)];
      const [correction1, correction2] = [1 - beta1 ** iteration, 1 - beta2 ** iteration];
      for (let i = 0; i < values.length; i++) {
        const slope = slopes[i] ?? 0;
        mean[i] = beta1 * (mean[i] ?? 0) + (1 - beta1) * slope;
        square[i] = beta2 * (square[i] ?? 0) + (1 - beta2) * slope * slope;
        const step = (mean[i] ?? 0) / correction1 / (Math.sqrt((square[i] ?? 0) / correction2) + epsilon);
        values[i] = (values[i] ?? 0) - learningRate * step;
      }
    },
  };
}

function zeros(count: number, dtype: DataType): Float32Array | Float64Array {
  return dtype === "f64" ? new Float64Array(count) : new Float32Array(count);
}

export function checkNumbers(where: string, options: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(options)) {
    if (typeof value !== "number") throw new TypeError(`${where}: ${name} must be a number, got ${String(value)}`);
    if (!Number.isFinite(value) || value < 0)
      throw new RangeError(`${where}: ${name} must be finite and not below 0, got ${value}`);
  }
}
