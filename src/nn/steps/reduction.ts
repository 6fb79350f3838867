/** The gradients of a fold over the ranks. */
import { describe } from "../../tensor/describe.ts";
import type { Tensor } from "../../types.ts";
import type { Reduction } from "../checks.ts";
import { allGather, allGatherBase, allToAll, countsOf } from "./collective.ts";
import { gradient } from "./gradient.ts";
import { join, product, scale, split, whereOwner } from "./local.ts";
import type { Tape } from "./tape.ts";
import type { Backward, Variable } from "./variable.ts";

/** How the gradient of a fold's result comes to the ranks. */
interface Ways {
  /** All of it to every rank. */
  whole(tape: Tape, g: Variable): Promise<Variable>;
  /** One share of it to each rank. */
  shares(tape: Tape, parts: readonly Variable[]): Promise<Variable>;
}

/** The way back of y = x0 op x1 op …, where all ranks' x are alike; for MIN and MAX y is the result on every rank. */
export async function backOfReduction(
  tape: Tape,
  reduction: Reduction,
  x: Variable,
  y: Tensor,
  ways: Ways,
): Promise<Backward> {
  const { group, math } = tape;
  if (reduction.kind === "sum") {
    return async (again, [g]) => [scaled(again, await ways.whole(again, g as Variable), reduction.factor)];
  }
  if (reduction.kind === "extremum") {
    // The largest code is the lowest rank's.
    const code = group.size - group.rank;
    const owner = math.zerosLike(x.tensor, { dtype: "i32" });
    math.claim(owner, x.tensor, y, code);
    await group.allReduce(owner, { ...tape.options, op: "max" });
    return async (again, [g]) => [whereOwner(again, await ways.whole(again, g as Variable), owner, code)];
  }
  const shares = sharesOf(describe(x.tensor).count, group.size);
  return async (again, [g]) => {
    // First the call that fails on all ranks or on none: a scatter may fail on some, which would go on alone.
    const parts = await exchanged(again, split(again, x, shares));
    const share = await ways.shares(again, split(again, g as Variable, shares));
    return gradient(again, [product(again, parts)], [x], [share]);
  };
}

/** The way back of y = x0[rank] op x1[rank] op …, from y's gradient to those of this rank's list x. */
export async function backOfScatteredReduction(
  tape: Tape,
  reduction: Reduction,
  x: readonly Variable[],
  y: Tensor,
): Promise<(tape: Tape, g: Variable) => Promise<Variable[]>> {
  const counts = countsOf(x);
  if (reduction.kind === "sum") {
    return async (again, g) => (await allGather(again, g, counts)).map((part) => scaled(again, part, reduction.factor));
  }
  if (reduction.kind === "extremum") {
    const owner = tape.math.zerosLike(y, { dtype: "i32" });
    (await exchanged(tape, x)).forEach(({ tensor }, rank) => {
      tape.math.claim(owner, tensor, y, rank + 1);
    });
    return (again, g) =>
      allToAll(
        again,
        counts.map((_, rank) => whereOwner(again, g, owner, rank + 1)),
        counts,
      );
  }
  return async (again, g) => gradient(again, [product(again, await exchanged(again, x))], x, [g]);
}

/** {@link backOfScatteredReduction} for a list of equal parts that lies in one tensor. */
export async function backOfOneTensor(tape: Tape, reduction: Reduction, x: Variable, y: Tensor): Promise<Backward> {
  if (reduction.kind === "sum") {
    return async (again, [g]) => [scaled(again, await allGatherBase(again, g as Variable), reduction.factor)];
  }
  const parts = split(tape, x, new Array<number>(tape.group.size).fill(describe(y).count));
  const back = await backOfScatteredReduction(tape, reduction, parts, y);
  return async (again, [g]) => [join(again, await back(again, g as Variable))];
}

/** All ranks' parts for this rank. */
function exchanged(tape: Tape, parts: readonly Variable[]): Promise<Variable[]> {
  const own = countsOf(parts)[tape.group.rank] as number;
  return allToAll(tape, parts, new Array<number>(tape.group.size).fill(own));
}

function scaled(tape: Tape, g: Variable, factor: number): Variable {
  return factor === 1 ? g : scale(tape, g, factor);
}

/** Nearly equal shares of `count` elements. Each begins at a multiple of four elements, a whole word for every dtype. */
function sharesOf(count: number, size: number): number[] {
  const fours = Math.ceil(count / 4);
  const starts = Array.from({ length: size + 1 }, (_, i) => Math.min(count, 4 * Math.floor((fours * i) / size)));
  return Array.from({ length: size }, (_, i) => (starts[i + 1] as number) - (starts[i] as number));
}
