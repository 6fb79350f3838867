/**
 * ReductionStep: one iteration of a Reducer. It knows which gradients have come, and fires the buckets in order: bucket i
 * when it is full and bucket i-1 has been fired, so that all ranks call their buckets in one order.
 *
 * The Reducer's own allReduce is one call, so several buckets are under way at once. A comm hook may make several calls, one
 * when the other has come back; so a hook begins when the one before it has ended, or the ranks' calls would interleave
 * differently.
 */
import type { ProcessGroup } from "../../group/process-group.ts";
import type { ReduceOpLike } from "../../reduce-op.ts";
import type { Tensor } from "../../types.ts";
import { type BoundHook, endGroupAfter, reduceByHook } from "./bound-hook.ts";
import { type Bucket, type BucketSet, gradBucketOf } from "./bucket-set.ts";
import type { StepWatch } from "./logging-data.ts";

export interface StepOptions {
  readonly group: ProcessGroup;
  readonly parameterCount: number;
  readonly buckets: BucketSet;
  readonly watch: StepWatch;
  /** Null: one allReduce with `op()` for each bucket. */
  readonly hook: BoundHook | null;
  readonly op: () => ReduceOpLike;
  /** False within `noSync`: nothing is fired. */
  readonly syncs: boolean;
  /** No call is made before it has resolved; none at all if it rejects. */
  readonly gate: Promise<void> | null;
}

export class ReductionStep {
  readonly syncs: boolean;
  /** Parameters in the order in which they were marked. */
  readonly order: number[] = [];
  /** The gradients that the caller gave, by the parameter's index. */
  readonly given = new Map<number, Tensor>();
  /** True once `finalize` has gone on to wait for the buckets. */
  isClosing = false;
  readonly #options: StepOptions;
  readonly #isMarked: boolean[];
  /** How many gradients of each bucket are not there yet. */
  readonly #pending: number[];
  #nextBucket = 0;
  readonly #isSerial: boolean;
  /** The end of the calls that wait for each other. */
  #queue: Promise<void>;
  readonly #calls: Promise<void>[] = [];
  #failure: { error: unknown } | null = null;
  #isStopped = false;

  constructor(options: StepOptions) {
    const { parameterCount, buckets, hook, gate, syncs } = options;
    this.#options = options;
    this.syncs = syncs;
    this.#isMarked = new Array<boolean>(parameterCount).fill(false);
    this.#pending = buckets.buckets.map(({ indices }) => indices.length);
    this.#isSerial = hook !== null || gate !== null;
    this.#queue = (gate ?? Promise.resolve()).catch((error) => this.#stop(error));
  }

  isMarked(index: number): boolean {
    return this.#isMarked[index] ?? false;
  }

  /** Parameters that were not marked. */
  missing(): number[] {
    return [...this.#isMarked.keys()].filter((index) => !this.isMarked(index));
  }

  /** The gradient of this parameter is in its bucket, or will not come. Fires each bucket whose turn it is then. */
  mark(index: number): void {
    const { buckets } = this.#options;
    this.#isMarked[index] = true;
    this.order.push(index);
    const bucket = buckets.bucketOf(index);
    this.#pending[bucket] = (this.#pending[bucket] ?? 0) - 1;
    if (!this.syncs) return;
    for (; this.#pending[this.#nextBucket] === 0; this.#nextBucket++) this.#fire(this.#nextBucket);
  }

  /** Resolves when every call of this step has ended. @throws the first failure. */
  async settle(): Promise<void> {
    await Promise.all([this.#queue, ...this.#calls]);
    if (this.#failure) throw this.#failure.error;
  }

  /** Makes a call of the whole step, after those of the buckets that were fired. Its failure is the step's. */
  call(make: () => PromiseLike<unknown>): void {
    const call = this.#isSerial ? this.#queue.then(() => this.#guarded(make)) : this.#guarded(make);
    if (this.#isSerial) this.#queue = call;
    this.#calls.push(call);
  }

  #fire(index: number): void {
    const bucket = this.#options.buckets.buckets[index];
    if (bucket) this.call(() => this.#reduce(bucket, index));
  }

  async #reduce(bucket: Bucket, index: number): Promise<void> {
    const { group, hook, op, buckets, watch } = this.#options;
    watch.fired();
    const { flat } = bucket;
    if (!hook) {
      await group.allReduce(flat.tensor, { op: op() });
      return;
    }
    await reduceByHook(hook, gradBucketOf(bucket, index, index === buckets.buckets.length - 1), flat);
  }

  async #guarded(make: () => PromiseLike<unknown>): Promise<void> {
    if (this.#isStopped) return;
    try {
      await make();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Keeps the first failure. After a MismatchError all ranks go on with the next bucket alike. */
  #fail(error: unknown): void {
    this.#failure ??= { error };
    endGroupAfter(error, this.#options.group, "the reduction of gradients");
  }

  /** The gate has failed, on all ranks alike: no call is made. */
  #stop(error: unknown): void {
    this.#failure ??= { error };
    this.#isStopped = true;
  }
}
