/**
 * Reducer: averages gradients over all ranks while the backward pass still goes on.
 *
 * The parameters are put into buckets, in the reverse of their order, since a backward pass reaches the last first. When all
 * gradients of a bucket are there and the bucket before it has been fired, it is fired: one allReduce, or one call of the comm
 * hook. After the first step the buckets are rebuilt, once, in the order in which rank 0's gradients came.
 *
 * JavaScript has no autograd whose hooks would tell of a gradient, so the caller does:
 *
 *     reducer.prepareForBackward();
 *     for (const index of parametersInBackwardOrder) reducer.markReady(index, gradientOf(index));
 *     const averaged = await reducer.finalize();
 *
 * Source: torch/csrc/distributed/c10d/reducer.cpp; Li et al. 2020, "PyTorch Distributed: Experiences on Accelerating Data
 * Parallel Training", DOI 10.14778/3415478.3415530.
 */
import type { ProcessGroup } from "../../group/process-group.ts";
import { checkOptions, type OptionNames } from "../../option-checks.ts";
import { ReduceOp } from "../../reduce-op.ts";
import { describe } from "../../tensor/describe.ts";
import { isSameMemory } from "../../tensor/view.ts";
import type { ShapedTensor, Tensor } from "../../types.ts";
import { broadcastCoalesced } from "../broadcast-coalesced.ts";
import type { CommHook } from "../comm-hook.ts";
import { type BuiltinCommHookType, builtinCommHook } from "../hooks/builtin.ts";
import { type BoundHook, bindHook, endGroupAfter } from "./bound-hook.ts";
import { BucketSet, factsOfBucket } from "./bucket-set.ts";
import type { Joinable, JoinContext } from "./join.ts";
import { type DdpLoggingData, StepWatch } from "./logging-data.ts";
import { checkedGradient, type KnownParameter, knownParameters, nameOfParameter } from "./parameter.ts";
import { type ReducerOptions, resolvedReducerOptions } from "./reducer-options.ts";
import { ReductionStep } from "./reduction-step.ts";
import { type SharedOrder, shareOrder } from "./share-order.ts";

/** Options of `prepareForBackward`. */
export interface PrepareOptions {
  /** Indices of parameters that take no part in this step on this rank, so that their buckets need not wait; with `findUnusedParameters` alone. Default: none, those that `finalize` finds unmarked are unused. */
  unused?: readonly number[];
}

const PREPARE_OPTIONS: OptionNames<PrepareOptions> = { unused: true };

/** What to do about gradients that never came. */
const REMEDY =
  "Mark each parameter and await finalize(); if a parameter takes no part in some steps, set findUnusedParameters";

/** Averages gradients over the ranks of a group. */
export class Reducer implements Joinable {
  /** The group whose ranks average. */
  readonly group: ProcessGroup;
  joinContext: JoinContext | null = null;

  readonly #options: Required<ReducerOptions>;
  readonly #parameters: readonly KnownParameter[];
  readonly #buckets: BucketSet;
  #hook: BoundHook | null = null;
  /** How many `noSync` run. */
  #noSyncs = 0;
  #step: ReductionStep | null = null;
  /** Parameters whose sum of gradients from `noSync` steps waits in their bucket. */
  readonly #accumulated = new Set<number>();

  readonly #watch = new StepWatch();
  #stepsReduced = 0;
  #unusedBytes = 0;
  #lastOrder: readonly number[] = [];
  #hasJoined = false;
  #error: string | null = null;

  /**
   * @throws TypeError for an unknown option, an option of the wrong type, or a parameter that is not `{ tensor, shape }` of a
   * float dtype. @throws RangeError for no parameters, a wrong shape, or a limit below 1.
   */
  constructor(options: ReducerOptions) {
    this.#options = resolvedReducerOptions(options);
    const { group, parameters, firstBucketBytes, bucketBytes } = this.#options;
    this.group = group;
    this.#parameters = knownParameters("Reducer", parameters);
    this.#buckets = new BucketSet(group, this.#parameters, [firstBucketBytes, bucketBytes]);
  }

  /** The indices of each bucket's parameters, in the order in which the buckets are fired. */
  get bucketIndices(): readonly (readonly number[])[] {
    return this.#buckets.buckets.map(({ indices }) => indices);
  }

  /**
   * The place of a parameter's gradient in its bucket, a view. A backward pass may write a gradient there and call `markReady`
   * with the index alone: then nothing is copied. It is another view after the first step, when the buckets have been rebuilt.
   * @throws RangeError if there is no such parameter.
   */
  gradient(index: number): Tensor {
    this.#checkIndex("gradient", index);
    return this.#buckets.gradient(index);
  }

  /**
   * Begins a step, before its first gradient.
   * @throws Error if the last step was not finished; the message names the parameters whose gradients never came.
   * @throws TypeError or RangeError if `unused` is no list of parameters, or is given without `findUnusedParameters`.
   */
  prepareForBackward(options: PrepareOptions = {}): void {
    checkOptions("prepareForBackward", PREPARE_OPTIONS, options);
    this.#refuseOpenStep("prepareForBackward");
    const unused = this.#checkedUnused(options.unused ?? []);
    if (this.#hook && this.joinContext?.divideByInitialWorldSize === false) {
      throw new TypeError("join: divideByInitialWorldSize: false takes no comm hook, whose average is over all ranks");
    }
    const syncs = this.#noSyncs === 0;
    const gate = syncs ? (this.joinContext?.notify(this) ?? null) : null;
    const step = this.#open(syncs, gate);
    for (const index of unused) this.#leaveOut(step, index);
  }

  /**
   * Says that the gradient of parameter `index` is there. The tensor is copied into its bucket at once; within `noSync`, and in
   * the first step after it, it is added to the sum that waits there. With `gradientAsBucketView: false` it gets the average when
   * `finalize` resolves. Default of `gradient`: it lies in the bucket already, at `reducer.gradient(index)`, where the sum of
   * `noSync` steps lies as well: nothing is added here, since the caller has added the gradient to it.
   * @throws Error if no step is open, or the parameter was marked in this step.
   * @throws RangeError if there is no such parameter, or the gradient's count or shape is not the parameter's.
   * @throws TypeError if its dtype or memory is not.
   */
  markReady(index: number, gradient?: Tensor | ShapedTensor): void {
    this.#checkIndex("markReady", index);
    const step = this.#openStep("markReady");
    if (step.isMarked(index)) {
      throw new Error(
        `markReady: ${this.#nameOf(index)} was marked before in this step: mark each parameter once, with the sum of its gradients if it is used several times`,
      );
    }
    const place = this.#buckets.gradient(index);
    const tensor = gradient === undefined ? place : checkedGradient("markReady", this.#parameters, index, gradient);
    if (!isSameMemory(describe(tensor), describe(place))) {
      this.#hold(step, index, tensor);
      if (this.#accumulated.has(index)) this.#buckets.add(index, tensor);
      else this.#buckets.write(index, tensor);
    }
    if (!step.syncs) this.#accumulated.add(index);
    step.given.set(index, tensor);
    this.#watch.ready();
    step.mark(index);
  }

  /**
   * Ends the step: resolves when all its buckets are reduced. Within `noSync` it resolves at once, to the sums so far.
   * @returns the averaged gradient of each parameter, by index: the tensor that was given to `markReady`, or with
   * `gradientAsBucketView` a view of its bucket, good until the next `prepareForBackward`. Null for a parameter that no rank has
   * used: its gradient stays what it was.
   * @throws Error if a gradient is missing; the step stays open, so that the missing ones may still be marked.
   * @throws the first error of a collective or of the comm hook. After a MismatchError, which all ranks get, the group is whole
   * and the next step may begin; after any other error the group is dead, and with it the Reducer.
   */
  async finalize(): Promise<(Tensor | null)[]> {
    const step = this.#openStep("finalize");
    const missing = step.missing();
    if (!step.syncs) {
      this.#step = null;
      step.end();
      return this.#parameters.map((_, index) => (this.#accumulated.has(index) ? this.gradient(index) : null));
    }
    if (missing.length > 0 && !this.#options.findUnusedParameters) {
      throw new Error(`finalize: no gradient came of ${this.#namesOf(missing)}. ${REMEDY}`);
    }
    for (const index of missing) this.#leaveOut(step, index);
    return this.#complete(step);
  }

  /**
   * Runs `body`, whose steps are not reduced: their gradients are added up here, and the first step after it reduces the sums. All
   * ranks make equally many steps outside `noSync`. Several may overlap: while one runs, nothing is reduced.
   * @throws Error if a step is open. @throws what `body` throws.
   */
  async noSync<T>(body: () => T | PromiseLike<T>): Promise<T> {
    this.#refuseOpenStep("noSync");
    this.#noSyncs++;
    try {
      return await body();
    } finally {
      this.#noSyncs--;
    }
  }

  /**
   * Reduces buckets by `hook` instead of an allReduce. All ranks register the same, once, before their first step. Hooks run one
   * after another, since a hook may make several calls, which all ranks must make in one order.
   * @throws Error if a hook was registered before, or a step was. @throws TypeError if `hook` is no function.
   */
  registerCommHook<S>(state: S, hook: CommHook<S>): void {
    this.#setHook(bindHook("registerCommHook", state, hook));
  }

  /**
   * Reduces buckets by a hook that is known by its name: "ALLREDUCE", or "FP16_COMPRESS", which sends f16.
   * @throws as {@link registerCommHook}; TypeError if there is no such type.
   */
  registerBuiltinCommHook(type: BuiltinCommHookType): void {
    const hook = builtinCommHook(type);
    this.#setHook({ name: type, call: (bucket) => hook(this.group, bucket) });
  }

  /** What this Reducer is, and how its last steps went. */
  loggingData(): DdpLoggingData {
    const { group, bucketBytes, firstBucketBytes, findUnusedParameters, gradientAsBucketView } = this.#options;
    const { first, buckets, hasRebuilt } = this.#buckets;
    const rebuilt = hasRebuilt ? buckets.map(factsOfBucket) : [];
    const views = this.#parameters.map(({ view }) => view);
    return {
      ...{ rank: group.rank, worldSize: group.size, backendName: group.backendName },
      iteration: this.#stepsReduced,
      numParameterTensors: views.length,
      totalParameterSizeBytes: views.reduce((bytes, { byteLength }) => bytes + byteLength, 0),
      dtypes: [...new Set(views.map(({ dtype }) => dtype))],
      ...{ bucketCapBytes: bucketBytes, firstBucketBytes },
      bucketSizesBytes: first.map(({ bytes }) => bytes),
      perBucketParamIndices: first.map(({ indices }) => [...indices]),
      hasRebuiltBuckets: hasRebuilt,
      rebuiltBucketSizesBytes: rebuilt.map(({ bytes }) => bytes),
      rebuiltPerBucketParamIndices: rebuilt.map(({ indices }) => [...indices]),
      numBucketsReduced: buckets.length,
      ...{ findUnusedParameters, gradientAsBucketView },
      unusedParameterSizeBytes: this.#unusedBytes,
      prevIterationGradReadyOrderIndices: [...this.#lastOrder],
      commHook: this.#hook?.name ?? "",
      joinUnevenInputs: this.#hasJoined,
      ...this.#watch.times(),
      error: this.#error,
    };
  }

  /** Takes part in a step of the ranks that still have inputs, with zeros: sums of `noSync` steps are dropped. `join` calls it. */
  async shadowStep(): Promise<void> {
    this.#refuseOpenStep("join");
    this.#accumulated.clear();
    // With a gate, as the ranks that have inputs: their calls take turns.
    const step = this.#open(true, Promise.resolve());
    for (const index of step.missing().reverse()) this.#leaveOut(step, index);
    await this.#complete(step);
  }

  /** Makes the parameters those of rank `root`. `join` calls it. */
  async syncParameters(root: number): Promise<void> {
    this.#hasJoined = true;
    const tensors = this.#parameters.map(({ tensor }) => tensor);
    await broadcastCoalesced(this.group, tensors, { root });
  }

  dropStep(): string | null {
    const step = this.#step;
    if (!step) return null;
    const state = this.#stateOf(step);
    // One that is being finalized ends by itself.
    if (!step.isClosing) {
      step.end();
      this.#accumulated.clear();
      this.#step = null;
      this.joinContext?.end(this);
    }
    return state;
  }

  /** Frees the buckets, and with them the views that `finalize` and `gradient` gave. @throws Error if a step is open. */
  destroy(): void {
    this.#refuseOpenStep("destroy");
    this.#buckets.destroy();
  }

  /** @throws TypeError if a pending Work writes the gradient, or if it is to get its average and a pending Work or another gradient has its memory. */
  #hold(step: ReductionStep, index: number, tensor: Tensor): void {
    const owner = `markReady of ${this.#nameOf(index)}`;
    const view = describe(tensor);
    if (step.syncs && !this.#options.gradientAsBucketView) step.hold(owner, view);
    else this.group.hold(owner, [view], [])();
  }

  #setHook(hook: BoundHook): void {
    if (this.#hook) {
      throw new Error("registerCommHook and registerBuiltinCommHook: one hook is registered already, and it stays");
    }
    if (this.#step || this.#stepsReduced > 0)
      throw new Error("registerCommHook: register a hook before the first step");
    this.#hook = hook;
  }

  #open(syncs: boolean, gate: Promise<void> | null): ReductionStep {
    this.#buckets.freeReplaced();
    this.#hasJoined ||= this.joinContext !== null;
    this.#watch.begin();
    this.#step = new ReductionStep({
      ...{ group: this.group, buckets: this.#buckets, hook: this.#hook, watch: this.#watch, syncs, gate },
      parameterCount: this.#parameters.length,
      op: () => this.joinContext?.averageOp() ?? ReduceOp.AVG,
    });
    return this.#step;
  }

  /** The parameter takes no part in this step here: its gradient is the sum of the steps before, or zero. */
  #leaveOut(step: ReductionStep, index: number): void {
    if (step.syncs && !this.#accumulated.has(index)) this.#buckets.clear(index);
    step.mark(index);
  }

  async #complete(step: ReductionStep): Promise<(Tensor | null)[]> {
    step.isClosing = true;
    let order: SharedOrder | null = null;
    try {
      const used = this.#shareUse(step);
      // Not where parameters may be unused, for then each step has another order.
      if (!this.#buckets.hasRebuilt && !this.#options.findUnusedParameters) order = shareOrder(this.group, step);
      await step.settle();
      this.#watch.end();
      // The average goes where the gradient was, which is the caller's again.
      step.end();
      const gradients = this.#parameters.map((_, index) => (used?.[index] === 0 ? null : this.#averageOf(step, index)));
      this.#lastOrder = step.order;
      this.#stepsReduced++;
      this.#error = null;
      return gradients;
    } catch (error) {
      this.#error = String(error);
      // All ranks end a join alike, and the group goes on.
      if (error !== this.joinContext?.termination) endGroupAfter(error, this.group, "the reduction of gradients");
      throw error;
    } finally {
      // All ranks have agreed on it, whatever else has failed.
      if (order?.agreed) this.#buckets.rebuild(order.agreed);
      step.end();
      this.#accumulated.clear();
      this.#step = null;
      this.joinContext?.end(this);
    }
  }

  /** How many ranks have used each parameter, once the step has settled. */
  #shareUse(step: ReductionStep): Int32Array | null {
    if (!this.#options.findUnusedParameters) return null;
    const used = Int32Array.from(this.#parameters, (_, index) =>
      step.given.has(index) || this.#accumulated.has(index) ? 1 : 0,
    );
    this.#unusedBytes = this.#parameters.reduce((sum, { view }, index) => sum + (used[index] ? 0 : view.byteLength), 0);
    step.call((turn) => this.group.allReduce(used, { ...turn?.part }));
    return used;
  }

  /** The averaged gradient, in the tensor that the caller gave, unless the caller wants views. */
  #averageOf(step: ReductionStep, index: number): Tensor {
    const given = step.given.get(index);
    if (!given || this.#options.gradientAsBucketView) return this.#buckets.gradient(index);
    this.#buckets.read(index, given);
    return given;
  }

  #openStep(caller: string): ReductionStep {
    if (!this.#step) throw new Error(`${caller}: no step is open: call prepareForBackward() first`);
    if (this.#step.isClosing) throw new Error(`${caller}: the step is being finalized: await finalize() first`);
    return this.#step;
  }

  #refuseOpenStep(caller: string): void {
    if (this.#step) throw new Error(`${caller}: the step before is not finished: ${this.#stateOf(this.#step)}`);
  }

  /** Why this step is not finished. */
  #stateOf(step: ReductionStep): string {
    const missing = step.missing();
    const state = missing.length > 0 ? `no gradient came of ${this.#namesOf(missing)}` : "finalize() was not awaited";
    return `${state}. ${REMEDY}`;
  }

  #checkedUnused(unused: readonly number[]): readonly number[] {
    if (!Array.isArray(unused)) throw new TypeError("prepareForBackward: unused must be a list of indices");
    if (unused.length > 0 && !this.#options.findUnusedParameters) {
      throw new TypeError("prepareForBackward: unused needs findUnusedParameters: true, on all ranks");
    }
    for (const index of unused) this.#checkIndex("prepareForBackward: unused", index);
    return [...new Set(unused)];
  }

  #checkIndex(caller: string, index: number): void {
    if (this.#parameters[index]) return;
    throw new RangeError(`${caller}: there is no parameter ${index}, but 0 to ${this.#parameters.length - 1}`);
  }

  #nameOf(index: number): string {
    return nameOfParameter(this.#parameters, index);
  }

  #namesOf(indices: readonly number[]): string {
    const names = indices.slice(0, MOST_NAMES).map((index) => this.#nameOf(index));
    return names.join(", ") + (indices.length > MOST_NAMES ? ` and ${indices.length - MOST_NAMES} more` : "");
  }
}

/** Most parameters that an error names. */
const MOST_NAMES = 20;
