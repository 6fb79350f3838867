/**
 * Steps that all ranks make together: the collectives that only move and add. Each one's way back is another of them.
 *
 *     sum                 y = Σ x on all ranks           back: sum
 *     sumToRoot           y = Σ x on root, 0 elsewhere   back: broadcast
 *     broadcast           y = root's x                   back: sumToRoot
 *     allGather           y[r] = rank r's x              back: reduceScatter
 *     reduceScatter       y = Σ x[rank]                  back: allGather
 *     gather              y[r] on root, 0 elsewhere      back: scatter
 *     scatter             y = root's x[rank]             back: gather
 *     allToAll            y[r] = rank r's x[rank]        back: allToAll
 *
 * Inputs are never written: what a collective works on in place is copied first. Counts of lists are known on all ranks.
 */
import type { CollectiveOptions } from "../../options.ts";
import { describe } from "../../tensor/describe.ts";
import type { Tensor } from "../../types.ts";
import type { Tape } from "./tape.ts";
import { recorded, recordedOne, type Variable } from "./variable.ts";

const tensorsOf = (variables: readonly Variable[]) => variables.map(({ tensor }) => tensor);
export const countsOf = (variables: readonly Variable[]) =>
  tensorsOf(variables).map((tensor) => describe(tensor).count);

/** New tensors of these counts. */
function room({ math }: Tape, like: Tensor, counts: readonly number[]): Tensor[] {
  return counts.map((count) => math.zerosLike(like, { count }));
}

/** The sum over all ranks, on all ranks. */
export async function sum(tape: Tape, x: Variable): Promise<Variable> {
  const y = tape.math.cloneOf(x.tensor);
  await tape.group.allReduce(y, tape.options);
  return recordedOne([x], y, async (again, [g]) => [await sum(again, g as Variable)]);
}

async function sumToRoot(tape: Tape, x: Variable, root: number): Promise<Variable> {
  const isRoot = tape.group.rank === root;
  const y = isRoot ? tape.math.cloneOf(x.tensor) : tape.math.zerosLike(x.tensor);
  await tape.group.reduce(isRoot ? y : x.tensor, { ...tape.options, root });
  return recordedOne([x], y, async (again, [g]) => [await broadcast(again, g as Variable, root)]);
}

export async function broadcast(tape: Tape, x: Variable, root: number, options?: CollectiveOptions): Promise<Variable> {
  const y = tape.group.rank === root ? tape.math.cloneOf(x.tensor) : tape.math.zerosLike(x.tensor);
  await tape.group.broadcast(y, { ...tape.options, ...options, root });
  return recordedOne([x], y, async (again, [g]) => [await sumToRoot(again, g as Variable, root)]);
}

export async function allGather(
  tape: Tape,
  x: Variable,
  counts: readonly number[],
  options?: CollectiveOptions,
): Promise<Variable[]> {
  const y = room(tape, x.tensor, counts);
  await tape.group.allGather(y, x.tensor, { ...tape.options, ...options });
  return recorded([x], y, async (again, gradients) => [await reduceScatter(again, gradients)]);
}

export async function reduceScatter(tape: Tape, x: readonly Variable[]): Promise<Variable> {
  const counts = countsOf(x);
  const inputs = tensorsOf(x);
  const own = inputs[tape.group.rank] as Tensor;
  const y = tape.math.zerosLike(own);
  await tape.group.reduceScatter(y, inputs, tape.options);
  return recordedOne(x, y, (again, [g]) => allGather(again, g as Variable, counts));
}

export async function gather(
  tape: Tape,
  x: Variable,
  counts: readonly number[],
  root: number,
  options?: CollectiveOptions,
): Promise<Variable[]> {
  const y = room(tape, x.tensor, counts);
  await tape.group.gather(tape.group.rank === root ? y : null, x.tensor, { ...tape.options, ...options, root });
  return recorded([x], y, async (again, gradients) => [await scatter(again, gradients, root)]);
}

/** Off root, `x` has the counts and its values are not used. */
export async function scatter(
  tape: Tape,
  x: readonly Variable[],
  root: number,
  options?: CollectiveOptions,
): Promise<Variable> {
  const counts = countsOf(x);
  const inputs = tensorsOf(x);
  const y = tape.math.zerosLike(inputs[tape.group.rank] as Tensor);
  await tape.group.scatter(y, tape.group.rank === root ? inputs : null, { ...tape.options, ...options, root });
  return recordedOne(x, y, (again, [g]) => gather(again, g as Variable, counts, root));
}

/** `counts`: elements from each rank. */
export async function allToAll(
  tape: Tape,
  x: readonly Variable[],
  counts: readonly number[],
  options?: CollectiveOptions,
): Promise<Variable[]> {
  const inputs = tensorsOf(x);
  const y = room(tape, inputs[0] as Tensor, counts);
  await tape.group.allToAll(y, inputs, { ...tape.options, ...options });
  const back = countsOf(x);
  return recorded(x, y, (again, gradients) => allToAll(again, gradients, back));
}

/** {@link allGather} of equal counts into one tensor. */
export async function allGatherBase(tape: Tape, x: Variable, options?: CollectiveOptions): Promise<Variable> {
  const y = tape.math.zerosLike(x.tensor, { count: describe(x.tensor).count * tape.group.size });
  await tape.group.allGatherIntoTensor(y, x.tensor, { ...tape.options, ...options });
  return recordedOne([x], y, async (again, [g]) => [await reduceScatterBase(again, g as Variable)]);
}

/** {@link reduceScatter} of one tensor in equal parts. */
async function reduceScatterBase(tape: Tape, x: Variable): Promise<Variable> {
  const y = tape.math.zerosLike(x.tensor, { count: describe(x.tensor).count / tape.group.size });
  await tape.group.reduceScatterTensor(y, x.tensor, tape.options);
  return recordedOne([x], y, async (again, [g]) => [await allGatherBase(again, g as Variable)]);
}

/** {@link allToAll} of one tensor, cut by `inputSplits`, into one of `outputSplits`. */
export async function allToAllSingle(
  tape: Tape,
  x: Variable,
  splits: { inputSplits: readonly number[]; outputSplits: readonly number[] },
  options?: CollectiveOptions,
): Promise<Variable> {
  const { inputSplits, outputSplits } = splits;
  const y = tape.math.zerosLike(x.tensor, { count: outputSplits.reduce((sum, count) => sum + count, 0) });
  await tape.group.allToAllSingle(y, x.tensor, { ...tape.options, ...options, ...splits });
  const swapped = { inputSplits: outputSplits, outputSplits: inputSplits };
  return recordedOne([x], y, async (again, [g]) => [await allToAllSingle(again, g as Variable, swapped)]);
}
