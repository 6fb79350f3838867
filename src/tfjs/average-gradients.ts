/** Averages the gradients of all ranks. */
import { type HookResult, tensorOfHookResult } from "../ddp/comm-hook.ts";
import { GradBucket } from "../ddp/grad-bucket.ts";
import { bucketInTurn } from "../ddp/hooks/bucket-turn.ts";
import type { ProcessGroup } from "../group/process-group.ts";
import { inTurn, type Turn, type TurnPart } from "../group/turns.ts";
import { checkOptions, type OptionNames } from "../option-checks.ts";
import { type ReduceOpLike, resolveReduceOp } from "../reduce-op.ts";
import { named } from "../tensor/describe.ts";
import { partOfTensor } from "../tensor/part.ts";
import { agreeOnGradients, forgetGradients, type Named } from "./agreement.ts";
import { type Bucket, checkCollection, checkTensors, replaceElements, SUM_DTYPES } from "./buckets.ts";
import { type Gradients, isTfTensor, type TfTensor } from "./engine.ts";
import { abortUnlessTold, throughBuckets } from "./through-buckets.ts";

/** Options of `averageGradients` and `distributed`. */
export interface AverageOptions {
  /** How the gradients of the ranks become one. Not with `commHook`. Default: "avg". */
  op?: ReduceOpLike;
  /** A bucket of gradients is full once it has so many bytes; the same on every rank. Default: 25 MiB. */
  bucketBytes?: number;
  /**
   * Reduces each bucket in place of the allReduce, to send fewer bytes; the same on every rank. The bucket's `parameters()`
   * have the parameters' shapes over the gradients' elements: tf.js keeps the values of its variables to itself.
   */
  commHook?: (bucket: GradBucket) => PromiseLike<HookResult>;
}

const AVERAGE_OPTIONS: OptionNames<AverageOptions> = { op: true, bucketBytes: true, commHook: true };

/**
 * @throws TypeError for an option that is unknown or of the wrong type. @throws RangeError if `bucketBytes` is not above 0.
 */
export function checkAverageOptions(where: string, options: AverageOptions): void {
  checkOptions(where, AVERAGE_OPTIONS, options);
  const { op, commHook } = options;
  checkBucketBytes(where, options.bucketBytes);
  if (commHook !== undefined && typeof commHook !== "function") {
    throw new TypeError(`${where}: commHook must be a function, got ${typeof commHook}`);
  }
  if (op !== undefined) named(where, () => resolveReduceOp(op, "f32"));
  if (commHook && op !== undefined) {
    throw new TypeError(`${where}: op and commHook exclude each other: the hook decides how gradients become one`);
  }
}

/** @throws TypeError if it is no number. @throws RangeError if it is not above 0. */
export function checkBucketBytes(where: string, bucketBytes: number | undefined): void {
  if (bucketBytes === undefined || (typeof bucketBytes === "number" && bucketBytes > 0)) return;
  const ErrorClass = typeof bucketBytes === "number" ? RangeError : TypeError;
  throw new ErrorClass(`${where}: bucketBytes must be a number above 0, got ${String(bucketBytes)}`);
}

/**
 * Averages `gradients` over all ranks: resolves to new tensors of the same shapes and in the same form, by name or as a
 * list, with the same bits on every rank. They are the caller's to dispose; `gradients` stay as they are, and must live
 * until then. Every rank gives the same names, shapes and dtypes in the same order, which is compared at the first call
 * and after each change. Calls of one group run in the order in which they were made; await one with a comm hook before
 * another call of the group.
 *
 * @throws TypeError if a gradient is no tf.Tensor, is disposed, or has another dtype than float32 and int32; nothing was
 * sent then. @throws MismatchError if the lists of the ranks differ; the group is whole. What else goes wrong, an error of
 * a comm hook's say, aborts the group, for the other ranks wait.
 */
export async function averageGradients<G extends Gradients>(
  group: ProcessGroup,
  gradients: G,
  options: AverageOptions = {},
): Promise<G> {
  const check = () => {
    checkAverageOptions("averageGradients", options);
    const list = listOf("averageGradients", gradients);
    checkTensors("averageGradients", list, SUM_DTYPES);
    return { list, options: { ...options } };
  };
  const averaged = await averageList(group, check);
  if (Array.isArray(gradients)) return averaged as unknown as G;
  return Object.fromEntries(averaged.map(({ name, tensor }) => [name, tensor])) as unknown as G;
}

/**
 * The gradients that there are, as a list.
 * @throws TypeError if one is no tf.Tensor.
 */
export function listOf(where: string, gradients: Gradients): Named[] {
  checkCollection(`${where}: gradients`, gradients);
  const list: Named[] = Array.isArray(gradients)
    ? [...(gradients as readonly Named[])]
    : Object.entries(gradients as Readonly<Record<string, TfTensor>>).map(([name, tensor]) => ({ name, tensor }));
  const bare = list.findIndex((entry) => typeof entry !== "object" || entry === null || !("tensor" in entry));
  if (bare >= 0) throw new TypeError(`${where}: item ${bare} must be a gradient with its name, { name, tensor }`);
  // tf.js gives null for a variable that is not trainable.
  const given = list.filter((entry) => entry.tensor !== null && entry.tensor !== undefined);
  const wrong = given.find(({ tensor }) => !isTfTensor(tensor));
  if (wrong) throw new TypeError(`${where}: the gradient of ${String(wrong.name)} is not a tf.Tensor`);
  return given;
}

/** {@link averageGradients} of a list that `check` gives at once, in the call's turn. */
export function averageList(
  group: ProcessGroup,
  check: () => { list: readonly Named[]; options: AverageOptions },
): Promise<Named[]> {
  return inTurn(group, "tfjs", check, (turn, { list, options }) => averageNow(group, turn, list, options));
}

async function averageNow(
  group: ProcessGroup,
  turn: Turn,
  list: readonly Named[],
  { op = "avg", bucketBytes, commHook }: AverageOptions,
): Promise<Named[]> {
  try {
    await agreeOnGradients(group, turn.part, list);
    return await throughBuckets(group, list, bucketBytes, (buckets) =>
      commHook ? reduceByHook(group, turn, buckets, commHook) : reduceAtOnce(group, turn.part, buckets, op),
    );
  } catch (error) {
    forgetGradients(group);
    abortUnlessTold(group, error);
    throw error;
  }
}

/** One call, so that ranks whose lists differ are at the same number after it. */
function reduceAtOnce(
  group: ProcessGroup,
  part: TurnPart,
  buckets: readonly Bucket[],
  op: ReduceOpLike,
): PromiseLike<void> {
  const [first, ...more] = buckets.map(({ tensor }) => tensor);
  return first && more.length === 0
    ? group.allReduce(first, { ...part, op })
    : group.allReduceCoalesced(first ? [first, ...more] : [], { ...part, op });
}

/** One bucket after the other: calls of two hooks at once would not have the same order on all ranks. */
async function reduceByHook(
  group: ProcessGroup,
  turn: Turn,
  buckets: readonly Bucket[],
  commHook: NonNullable<AverageOptions["commHook"]>,
): Promise<void> {
  for (const [index, { plan, tensor }] of buckets.entries()) {
    const parameters = plan.tensors.map(({ shape, size }, i) => ({
      tensor: partOfTensor(tensor, plan.offsets[i] ?? 0, size),
      shape,
    }));
    const isLast = index === buckets.length - 1;
    const parts = { index, buffer: tensor, offsets: plan.offsets, parameters, isLast };
    const bucket = bucketInTurn(new GradBucket(parts), turn);
    try {
      const result = tensorOfHookResult(await turn.lend("the comm hook", () => commHook(bucket)));
      // It checks the result's dtype and count.
      bucket.setBuffer(result);
      replaceElements(group, tensor, result);
    } catch (error) {
      // Nobody knows how many calls the hook made here and elsewhere.
      group.abort(String(error));
      throw error;
    }
  }
}
