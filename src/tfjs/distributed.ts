/** A tf.js optimizer that averages the gradients of all ranks before it applies them. */
import type { ProcessGroup } from "../group/process-group.ts";
import { inTurn } from "../group/turns.ts";
import { consoleLogger, debugLevelIn } from "../logger.ts";
import { startTimer } from "../support/clock.ts";
import type { Named } from "./agreement.ts";
import { type AverageOptions, averageList, checkAverageOptions, listOf } from "./average-gradients.ts";
import { checkTensors, SUM_DTYPES } from "./buckets.ts";
import { engineInUse, type Gradients, type NamedGradient, type TfTensor, type TfVariable } from "./engine.ts";
import { abortUnlessTold, cloneOf } from "./through-buckets.ts";

/** A tf.Optimizer. */
export interface TfOptimizer {
  /** The loss, and its gradients by variable name. */
  computeGradients(f: () => TfTensor, varList?: TfVariable[]): { value: TfTensor; grads: Record<string, TfTensor> };
  /** Changes the variables by the gradients. */
  applyGradients(gradients: Record<string, TfTensor> | NamedGradient[]): void;
  /** Computes gradients and applies them. */
  minimize(f: () => TfTensor, returnCost?: boolean, varList?: TfVariable[]): TfTensor | null;
}

/** What {@link distributed} adds to an optimizer. */
export interface Settling {
  /**
   * Resolves when the step that `minimize` or `applyGradients` began is done: the gradients averaged, and applied. It
   * is awaited after each step, before the next.
   * @throws what the step met: a MismatchError, a PeerLostError and so on.
   */
  settled(): Promise<void>;
}

/**
 * `optimizer`, whose `minimize` and `applyGradients` use the average of all ranks' gradients. Their arguments and results
 * are those of tf.js, so it goes wherever an optimizer does, `model.compile` included. They begin a step and return;
 * `await optimizer.settled()` after each, in `model.fit` as `callbacks: { onBatchEnd: () => optimizer.settled() }`.
 *
 * All ranks take as many steps, and begin with the same variables (`broadcastVariables`). A cost that is returned is that
 * of this rank's samples. If the loss function throws, the group is aborted, so that the other ranks do not wait. Every
 * tensor that a step makes is freed with it. Options as for `averageGradients`.
 *
 * @throws TypeError if `optimizer` is none, or for a wrong option. `minimize` and `applyGradients` throw an Error if the
 * step before was not awaited, and a TypeError for a gradient that is no tf.Tensor.
 */
export function distributed<O extends TfOptimizer>(
  optimizer: O,
  group: ProcessGroup,
  options: AverageOptions = {},
): O & Settling {
  checkAverageOptions("distributed", options);
  if (typeof optimizer?.computeGradients !== "function" || typeof optimizer.applyGradients !== "function") {
    throw new TypeError("distributed: the optimizer must be a tf.Optimizer, such as tf.train.adam()");
  }
  const steps = new Steps(optimizer, group, { ...options });
  const own: TfOptimizer & Settling = {
    computeGradients: (f, varList) => steps.computeGradients(f, varList),
    minimize: (f, returnCost, varList) => steps.minimize(f, returnCost, varList),
    applyGradients: (gradients) => steps.applyGradients(gradients),
    settled: () => steps.settled(),
  };
  // All else, the optimizer's class and its state among it, stays the optimizer's.
  return new Proxy(optimizer, {
    has: (target, key) => Object.hasOwn(own, key) || Reflect.has(target, key),
    get: (target, key, receiver) => Reflect.get(Object.hasOwn(own, key) ? own : target, key, receiver),
  }) as O & Settling;
}

/** A group keeps its logger to itself. */
const LOGGER = consoleLogger(() => debugLevelIn(() => undefined));

/** The steps of one optimizer, one after the other. */
class Steps {
  readonly #optimizer: TfOptimizer;
  readonly #group: ProcessGroup;
  readonly #options: AverageOptions;
  /** The step that no `settled()` has told the end of. */
  #pending: Promise<void> | null = null;
  /** The steps for which `settled()` was called. */
  readonly #asked = new WeakSet<Promise<void>>();

  constructor(optimizer: TfOptimizer, group: ProcessGroup, options: AverageOptions) {
    this.#optimizer = optimizer;
    this.#group = group;
    this.#options = options;
  }

  computeGradients(f: () => TfTensor, varList?: TfVariable[]): ReturnType<TfOptimizer["computeGradients"]> {
    try {
      return this.#optimizer.computeGradients(f, varList);
    } catch (error) {
      abortUnlessTold(this.#group, error);
      throw error;
    }
  }

  minimize(f: () => TfTensor, returnCost = false, varList?: TfVariable[]): TfTensor | null {
    this.#told(() => this.#checkSettled());
    const { value, grads } = this.computeGradients(f, varList);
    // By a varList the optimizer's slots are in its order, else in that of the gradients.
    const names = varList ? varList.map(({ name }) => name) : Object.keys(grads);
    const gradients = names.flatMap((name) => (grads[name] ? [{ name, tensor: grads[name] }] : []));
    // A tidy around this call, as fit has one, must not free them.
    const engine = engineInUse();
    this.#begin(gradients.map(({ name, tensor }) => ({ name, tensor: engine.keep(tensor) })));
    if (returnCost) return value;
    value.dispose();
    return null;
  }

  applyGradients(gradients: Gradients): void {
    const list = this.#told(() => {
      this.#checkSettled();
      const given = listOf("applyGradients", gradients);
      checkTensors("applyGradients", given, SUM_DTYPES);
      return given;
    });
    const engine = engineInUse();
    // Clones, since the caller disposes the gradients as soon as this returns.
    this.#begin(list.map(({ name, tensor }) => ({ name, tensor: engine.keep(cloneOf(tensor)) })));
  }

  async settled(): Promise<void> {
    const pending = this.#pending;
    if (pending) this.#asked.add(pending);
    try {
      await pending;
    } finally {
      if (this.#pending === pending) this.#pending = null;
    }
  }

  /** What `check` returns. If it throws, the other ranks are told in turn that this one takes no part in the step. */
  #told<T>(check: () => T): T {
    try {
      return check();
    } catch (error) {
      const refused = () => {
        throw error;
      };
      inTurn(this.#group, "tfjs", refused, () => {}).catch(() => {});
      throw error;
    }
  }

  #checkSettled(): void {
    if (this.#pending) {
      throw new Error("the step before has not been awaited: await optimizer.settled() after each step");
    }
  }

  #begin(gradients: Named[]): void {
    const step = this.#step(gradients);
    this.#pending = step;
    // Its error is told by settled(): it is no unhandled rejection, and is reported if that was not called.
    step.catch((error) =>
      startTimer(0, () => {
        if (!this.#asked.has(step)) LOGGER.error("nobody awaited settled() of a step that failed:", error);
      }),
    );
  }

  /** Averages the gradients, applies them and frees them. */
  async #step(gradients: Named[]): Promise<void> {
    try {
      const averaged = await averageList(this.#group, () => ({ list: gradients, options: this.#options }));
      try {
        this.#optimizer.applyGradients(averaged);
      } finally {
        for (const { tensor } of averaged) tensor.dispose();
      }
    } catch (error) {
      abortUnlessTold(this.#group, error);
      throw error;
    } finally {
      for (const { tensor } of gradients) tensor.dispose();
    }
  }
}
