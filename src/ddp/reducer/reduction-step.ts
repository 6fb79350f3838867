/**
 * ReductionStep: one iteration of a Reducer. It knows which gradients have come, and fires the buckets in order: bucket i
 * when it is full and bucket i-1 has been fired, so that all ranks call their buckets in one order.
 *
 * The Reducer's own allReduce is one call, made at once, so several buckets are under way at once. A comm hook may make several calls, one
 * when the other has come back; so each bucket takes a turn of the group when it is fired, or the ranks' calls would interleave
 * differently. So does each call that must wait for the gate.
 */
import type { ProcessGroup } from "../../group/process-group.ts";
import { inTurn, type Turn } from "../../group/turns.ts";
import type { ReduceOpLike } from "../../reduce-op.ts";
import { textOf } from "../../support/thrown.ts";
import type { TensorView } from "../../tensor/view.ts";
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
  readonly #takesTurns: boolean;
  readonly #gate: Promise<void>;
  readonly #calls: Promise<void>[] = [];
  #failure: { error: unknown } | null = null;
  #isStopped = false;
  readonly #releases: (() => void)[] = [];

  constructor(options: StepOptions) {
    const { parameterCount, buckets, hook, gate, syncs } = options;
    this.#options = options;
    this.syncs = syncs;
    this.#isMarked = new Array<boolean>(parameterCount).fill(false);
    this.#pending = buckets.buckets.map(({ indices }) => indices.length);
    this.#takesTurns = hook !== null || gate !== null;
    this.#gate = (gate ?? Promise.resolve()).catch((error) => this.#stop(error));
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
    await Promise.all([this.#gate, ...this.#calls]);
    if (this.#failure) throw this.#failure.error;
  }

  /** Makes a call of the whole step, after those of the buckets that were fired. Its failure is the step's. */
  call(make: (turn: Turn | null) => PromiseLike<unknown>): void {
    const takeTurn = () =>
      inTurn(
        this.#options.group,
        "Reducer",
        () => {},
        async (turn) => {
          await this.#gate;
          await this.#guarded(() => make(turn));
        },
      );
    this.#calls.push(this.#takesTurns ? takeTurn() : this.#guarded(() => make(null)));
  }

  /** Keeps the memory of a gradient, which gets its average there, from other calls. @throws TypeError if a pending Work has it, or another gradient. */
  hold(owner: string, gradient: TensorView): void {
    try {
      this.#releases.push(this.#options.group.hold(owner, [], [gradient]));
    } catch (cause) {
      const remedy =
        "It gets its average when finalize() resolves; until then no other gradient or call may have its memory";
      throw new TypeError(`${textOf(cause)}. ${remedy}`, { cause });
    }
  }

  /** The step has ended, or was dropped: the caller's memory is the caller's. */
  end(): void {
    for (const release of this.#releases.splice(0)) release();
  }

  #fire(index: number): void {
    const bucket = this.#options.buckets.buckets[index];
    if (bucket) this.call((turn) => this.#reduce(bucket, index, turn));
  }

  async #reduce(bucket: Bucket, index: number, turn: Turn | null): Promise<void> {
    const { group, hook, op, buckets, watch } = this.#options;
    watch.fired();
    const { flat } = bucket;
    if (!hook || !turn) {
      await group.allReduce(flat.tensor, { ...turn?.part, op: op() });
      return;
    }
    await reduceByHook(hook, gradBucketOf(bucket, index, index === buckets.buckets.length - 1), flat, turn);
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
