/**
 * A loss of tf.js with collectives inside it, and its gradients.
 *
 * tf.js records what it computes on a tape, which lives for one synchronous function; `tf.customGrad` gives it a function with a
 * gradient of its own, which is synchronous too. A collective is not: its result, and the gradient that comes back through it,
 * arrive later. So the loss is written in parts, each a synchronous function of tf.js, with the collectives between them:
 *
 *   forward    each part runs, without a tape, and each collective is awaited
 *   backward   from the last to the first: a collective's pullback is awaited; a part runs again, on a tape this time, and takes
 *              the gradient of its result to those of its inputs and of the variables
 *
 * Every part runs twice, as in activation checkpointing; in return nothing that a part computes on its way is kept. All else
 * about gradients of collectives is in docs/nn.md.
 */
import type { ProcessGroup } from "../group/process-group.ts";
import { inTurn } from "../group/turns.ts";
import type { Differentiable, Pullback } from "../nn/index.ts";
import type { Tensor } from "../types.ts";
import { checkTensors } from "./buckets.ts";
import { engineInUse, isTfTensor, type TfTensor, type TfVariable } from "./engine.ts";
import { abortUnlessTold, cloneOf } from "./through-buckets.ts";

/** A call of webccl/nn. */
type Call = Differentiable<Tensor, Tensor> | Differentiable<Float32Array, Float32Array>;

/** What the program of {@link valueAndGrads} computes with. The tensors that it gives live until the gradients are known. */
export interface Parts {
  /**
   * Runs `part`, which gives one tensor, and gives that tensor. Gradients go to `inputs`, which are results of this object's
   * functions, and to the variables; all else that `part` uses is constant. It runs again on the way back, so it must compute
   * the same then: give dropout a seed.
   * @throws TypeError if `part` gives no tf.Tensor.
   */
  run<I extends readonly TfTensor[], T extends TfTensor>(part: (...inputs: I) => T, ...inputs: I): T;
  /**
   * Lets `call`, a function of webccl/nn, take the elements of `x` in host memory as one f32 array, and gives its result in the shape
   * of `x`, or in `shape`. Every rank calls it, on the way back too.
   * @throws TypeError if `x` is not float32, or the result is no array; RangeError if the result has not as many elements as the shape.
   */
  collective<T extends TfTensor>(x: T, call: (x: Float32Array) => Call, shape?: readonly number[]): Promise<T>;
}

/** A step of the way back: takes the gradient of `result` to those of its inputs, by `add`. Null is the gradient of an unused result. */
interface Step {
  readonly result: TfTensor;
  back(gradient: TfTensor | null, add: (of: TfTensor, gradient: TfTensor) => void): void | Promise<void>;
}

/**
 * The value of `program`, a tensor that comes of `variables` in parts, and its gradients in the order of the variables, as
 * `applyGradients` takes them; zeros for a variable that it does not depend on. They have the value's type. Both are the caller's to dispose; every other tensor is
 * freed. Every rank calls it. Await it before another call of the group.
 *
 * Each rank's value counts by itself: the gradients are those of the sum of all ranks' values. Where all compute the same
 * value, and it should count once, divide it by `group.size`. Gradients of a variable that all ranks hold alike are averaged
 * afterwards, by `distributed` or `averageGradients`, as in any training.
 *
 * @throws TypeError for a list without tf.Variables; the other ranks get a MismatchError at this rank's next collective. An error of
 * `program` on one rank aborts the group, for the other ranks wait; after a MismatchError the group is whole.
 */
export async function valueAndGrads<T extends TfTensor>(
  group: ProcessGroup,
  variables: readonly TfVariable[],
  program: (parts: Parts) => PromiseLike<T>,
): Promise<{ value: T; grads: { name: string; tensor: T }[] }> {
  await inTurn(
    group,
    "tfjs",
    () => checkVariables(variables),
    () => {},
  );
  const tape = new PartsTape(variables);
  try {
    const value = await program(tape);
    const gradients = await tape.gradientsOf(value);
    const grads = variables.map(({ name }, i) => ({ name, tensor: gradients[i] as T }));
    return { value: engineInUse().keep(cloneOf(value) as T), grads };
  } catch (error) {
    abortUnlessTold(group, error);
    throw error;
  } finally {
    tape.dispose();
  }
}

function checkVariables(variables: readonly TfVariable[]): void {
  const isVariable = (value: unknown): value is TfVariable => isTfTensor(value) && "assign" in value;
  if (!Array.isArray(variables) || variables.length === 0 || !variables.every(isVariable)) {
    throw new TypeError(
      "valueAndGrads: variables must be a list of tf.Variables, such as those of model.trainableWeights",
    );
  }
  checkTensors(
    "valueAndGrads",
    variables.map((tensor) => ({ name: tensor.name, tensor })),
  );
}

class PartsTape implements Parts {
  readonly #variables: readonly TfVariable[];
  readonly #steps: Step[] = [];

  constructor(variables: readonly TfVariable[]) {
    this.#variables = variables;
  }

  run<I extends readonly TfTensor[], T extends TfTensor>(part: (...inputs: I) => T, ...inputs: I): T {
    const engine = engineInUse();
    // A clone, so that the result is neither an input nor a variable, each of which has a life of its own.
    const cloned = () => {
      const result = part(...inputs);
      if (!isTfTensor(result))
        throw new TypeError("a part must give one tf.Tensor, and not later: collectives go between parts");
      return cloneOf(result);
    };
    const result = engine.keep(engine.tidy(cloned));
    const back: Step["back"] = (gradient, add) => {
      if (!gradient) return;
      const sources = [...new Set<TfTensor>([...inputs, ...this.#variables])];
      const { value, grads } = engine.gradients(cloned, sources, gradient, true);
      value.dispose();
      grads.forEach((grad, i) => {
        if (grad) add(sources[i]!, grad);
      });
    };
    this.#steps.push({ result, back });
    return result as T;
  }

  async collective<T extends TfTensor>(
    x: T,
    call: (x: Float32Array) => Call,
    shape: readonly number[] = x.shape,
  ): Promise<T> {
    if (!isTfTensor(x) || x.dtype !== "float32") {
      throw new TypeError(`a collective of parts takes a float32 tf.Tensor, got ${isTfTensor(x) ? x.dtype : typeof x}`);
    }
    const [y, pullback] = await call(await floatsOf(x));
    const result = tensorOf(y, shape);
    this.#steps.push({ result, back: (gradient, add) => backThrough(pullback, x, gradient ?? result.size, add) });
    return result as T;
  }

  /** In the order of the variables. */
  async gradientsOf(value: TfTensor): Promise<TfTensor[]> {
    if (!this.#steps.some(({ result }) => result === value)) {
      throw new TypeError("the program must give a tensor that one of its parts or collectives gave");
    }
    const engine = engineInUse();
    const gradients = new Map<TfTensor, TfTensor>();
    const add = (of: TfTensor, gradient: TfTensor) => {
      const before = gradients.get(of);
      gradients.set(of, engine.keep(before ? engine.runKernel("Add", { a: before, b: gradient }) : gradient));
      if (before) for (const part of [before, gradient]) part.dispose();
    };
    const own = new Set<TfTensor>(this.#variables);
    try {
      add(value, engine.makeTensor(new Float32Array(value.size).fill(1), value.shape, "float32"));
      for (const { result, back } of this.#steps.toReversed()) await back(gradients.get(result) ?? null, add);
      return this.#variables.map((variable) => gradients.get(variable) ?? zerosLike(variable));
    } catch (error) {
      for (const variable of own) gradients.get(variable)?.dispose();
      throw error;
    } finally {
      for (const [of, gradient] of gradients) if (!own.has(of)) gradient.dispose();
    }
  }

  dispose(): void {
    for (const { result } of this.#steps) result.dispose();
  }
}

/** The gradient of a collective's result, through its pullback; or so many zeros, for a rank without one calls it as the others do. */
async function backThrough(
  pullback: Pullback<Tensor, Tensor> | Pullback<Float32Array, Float32Array>,
  x: TfTensor,
  gradient: TfTensor | number,
  add: (of: TfTensor, gradient: TfTensor) => void,
): Promise<void> {
  const gy = typeof gradient === "number" ? new Float32Array(gradient) : await floatsOf(gradient);
  const gx = await pullback(gy);
  pullback.free();
  add(x, tensorOf(gx, x.shape));
}

/** A copy of the elements: on the cpu backend `data()` is the tensor's own storage. */
async function floatsOf(tensor: TfTensor): Promise<Float32Array> {
  return Float32Array.from((await tensor.data()) as ArrayLike<number>);
}

/** A tensor of its own with these elements, which may lie in shared memory, of which WebGL takes none. */
function tensorOf(elements: Tensor, shape: readonly number[]): TfTensor {
  if (!(elements instanceof Float32Array))
    throw new TypeError("a collective of parts must give an f32 array in host memory");
  const count = shape.reduce((product, length) => product * length, 1);
  if (elements.length !== count) {
    throw new RangeError(
      `the collective's result has ${elements.length} elements, and the shape [${shape.join(", ")}] has ${count}`,
    );
  }
  const engine = engineInUse();
  return engine.keep(engine.makeTensor(Float32Array.from(elements), shape, "float32"));
}

function zerosLike({ size, shape }: TfTensor): TfTensor {
  const engine = engineInUse();
  return engine.keep(engine.makeTensor(new Float32Array(size), shape, "float32"));
}
