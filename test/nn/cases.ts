/** Calls of `webccl/nn` with drawn inputs, and how each collective is called. */
import fc from "fast-check";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import * as nn from "../../src/nn/index.ts";
import { ReduceOp, type ReduceOpLike } from "../../src/reduce-op.ts";
import type { Tensor } from "../../src/types.ts";

export const REDUCTIONS = ["allReduce", "reduce", "reduceScatter", "reduceScatterBase"] as const;
export const MOVES = [
  ...["broadcast", "gather", "scatter", "allGather", "allGatherBase", "allToAll", "allToAllSingle"],
] as const;
export type Collective = string;
export const OPS = ["sum", "avg", "premul-sum", "min", "max", "product"] as const;
export type Op = (typeof OPS)[number];

/** By rank: a list of arrays, one where the collective takes or gives one tensor. */
export type Lists = number[][][];

export interface Case {
  readonly collective: Collective;
  readonly op: Op;
  readonly size: number;
  readonly root: number;
  /** Each rank's factor of premul-sum. */
  readonly factors: readonly number[];
  /** Elements from rank q to rank r, as far as the collective needs them. */
  readonly counts: readonly (readonly number[])[];
  readonly x: Lists;
  /** The gradients of y, and those of the gradients of x. */
  readonly gy: Lists;
  readonly ggx: Lists;
}

/** The counts of x and of y, by rank and place in the list. */
export function shapesOf({ collective, size, root, counts }: Pick<Case, "collective" | "size" | "root" | "counts">) {
  const ranks = Array.from({ length: size }, (_, rank) => rank);
  const of = (q: number, r: number) => counts[q]?.[r] ?? 0;
  const one = of(0, 0);
  const byRank = (list: (rank: number) => number[]) => ranks.map(list);
  const total = (list: number[]) => [list.reduce((sum, count) => sum + count, 0)];
  switch (collective) {
    case "gather":
    case "allGather":
      return { x: byRank((r) => [of(r, 0)]), y: byRank(() => ranks.map((q) => of(q, 0))) };
    case "scatter":
      return { x: byRank((r) => (r === root ? ranks.map(() => one) : [])), y: byRank(() => [one]) };
    case "allGatherBase":
      return { x: byRank(() => [one]), y: byRank(() => [one * size]) };
    case "reduceScatter":
      return { x: byRank(() => ranks.map((r) => of(0, r))), y: byRank((r) => [of(0, r)]) };
    case "reduceScatterBase":
      return { x: byRank(() => [one * size]), y: byRank(() => [one]) };
    case "allToAll":
      return { x: byRank((q) => ranks.map((r) => of(q, r))), y: byRank((r) => ranks.map((q) => of(q, r))) };
    case "allToAllSingle":
      return {
        x: byRank((q) => total(ranks.map((r) => of(q, r)))),
        y: byRank((r) => total(ranks.map((q) => of(q, r)))),
      };
    default:
      return { x: byRank(() => [one]), y: byRank(() => [one]) };
  }
}

/** Quarters, with zeros and ties: their sums and products are exact. */
const value = fc.integer({ min: -6, max: 6 }).map((quarters) => quarters / 4);

function lists(counts: number[][]): fc.Arbitrary<Lists> {
  const arrays = (n: number) => fc.array(value, { minLength: n, maxLength: n });
  return fc.tuple(...counts.map((list) => fc.tuple(...list.map(arrays)))) as fc.Arbitrary<Lists>;
}

export function caseOf(collective: Collective, op: Op, size: number, range = { min: 0, max: 5 }): fc.Arbitrary<Case> {
  const count = fc.integer(range);
  return fc
    .record({
      root: fc.nat(size - 1),
      factors: fc.array(value, { minLength: size, maxLength: size }),
      counts: fc.array(fc.array(count, { minLength: size, maxLength: size }), { minLength: size, maxLength: size }),
    })
    .chain((drawn) => {
      const shapes = shapesOf({ collective, size, ...drawn });
      return fc.record({ x: lists(shapes.x), gy: lists(shapes.y), ggx: lists(shapes.x) }).map((values) => ({
        ...{ collective, op, size },
        ...drawn,
        ...values,
      }));
    });
}

function opOf({ op, factors }: Case, rank: number): ReduceOpLike {
  return op === "premul-sum" ? ReduceOp.premulSum(factors[rank] ?? 0) : op;
}

export type AnyPullback = nn.Pullback<unknown, unknown>;

/** Calls the collective of a case on this rank. `x` and the results have the caller's form: a tensor, a list, or null. */
export function callOf(group: ProcessGroup, one: Case, x: unknown, like: Tensor): Promise<[unknown, AnyPullback]> {
  const { collective, root, counts, size } = one;
  const { rank } = group;
  const op = opOf(one, rank);
  const column = (r: number) => counts.map((row) => row[r] ?? 0);
  const calls: Record<string, () => Promise<unknown>> = {
    allReduce: () => nn.allReduce(group, x as Tensor, { op }),
    reduce: () => nn.reduce(group, x as Tensor, { op, root }),
    reduceScatter: () => nn.reduceScatter(group, x as Tensor[], { op }),
    reduceScatterBase: () => nn.reduceScatterBase(group, x as Tensor, { op }),
    broadcast: () => nn.broadcast(group, x as Tensor, { root }),
    gather: () => nn.gather(group, x as Tensor, { root, outputSplits: column(0) }),
    scatter: () => nn.scatter(group, x as Tensor[] | null, { root, ...(rank !== root && { like }) }),
    allGather: () => nn.allGather(group, x as Tensor, { outputSplits: column(0) }),
    allGatherBase: () => nn.allGatherBase(group, x as Tensor),
    allToAll: () => nn.allToAll(group, x as Tensor[], { outputSplits: column(rank) }),
    allToAllSingle: () =>
      nn.allToAllSingle(group, x as Tensor, {
        inputSplits: (counts[rank] ?? []).slice(0, size),
        outputSplits: column(rank),
      }),
  };
  return (calls[collective] as () => Promise<[unknown, AnyPullback]>)();
}

const LIST_INPUTS = ["scatter", "reduceScatter", "allToAll"];
const LIST_OUTPUTS = ["gather", "allGather", "allToAll"];

/** A rank's list in the form that the caller has: null for the tensors that only root has. */
export function inputForm<T>(collective: Collective, list: T[]): T[] | T | null {
  if (collective === "scatter" && list.length === 0) return null;
  return LIST_INPUTS.includes(collective) ? list : (list[0] as T);
}

export function outputForm<T>(collective: Collective, list: T[]): T[] | T {
  return LIST_OUTPUTS.includes(collective) ? list : (list[0] as T);
}

/** The tensors of a form, as a list. */
export function listOf(form: unknown): Tensor[] {
  if (form === null) return [];
  return (Array.isArray(form) ? form : [form]) as Tensor[];
}
