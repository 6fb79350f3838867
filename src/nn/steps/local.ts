/** Steps that every rank makes by itself. */
import { describe } from "../../tensor/describe.ts";
import type { Tensor } from "../../types.ts";
import type { Tape } from "./tape.ts";
import { recorded, recordedOne, type Variable } from "./variable.ts";

/** a + b. */
export function add({ math }: Tape, a: Variable, b: Variable): Variable {
  return recordedOne([a, b], math.add(a.tensor, b.tensor), (_, [g]) => [g as Variable, g as Variable]);
}

/** a * b. */
function multiply({ math }: Tape, a: Variable, b: Variable): Variable {
  return recordedOne([a, b], math.multiply(a.tensor, b.tensor), (tape, [g]) => [
    multiply(tape, g as Variable, b),
    multiply(tape, g as Variable, a),
  ]);
}

/** The product of all, folded from the left. No gradient of it divides: each is made of the partial products on the way. */
export function product(tape: Tape, factors: readonly Variable[]): Variable {
  return factors.reduce((left, right) => multiply(tape, left, right));
}

/** Each element times a number. */
export function scale({ math }: Tape, a: Variable, factor: number): Variable {
  return recordedOne([a], math.scale(a.tensor, factor), (tape, [g]) => [scale(tape, g as Variable, factor)]);
}

/** `a` where the i32 tensor `owner` has this code, else 0. */
export function whereOwner({ math }: Tape, a: Variable, owner: Tensor, code: number): Variable {
  return recordedOne([a], math.whereOwner(a.tensor, owner, code), (tape, [g]) => [
    whereOwner(tape, g as Variable, owner, code),
  ]);
}

/** Parts of these counts, which add up to a's. */
export function split({ math }: Tape, a: Variable, counts: readonly number[]): Variable[] {
  let start = 0;
  const parts = counts.map((count) => {
    start += count;
    return math.slice(a.tensor, start - count, count);
  });
  return recorded([a], parts, (tape, gradients) => [join(tape, gradients)]);
}

/** All parts, one behind the other. */
export function join({ math }: Tape, parts: readonly Variable[]): Variable {
  const tensors = parts.map(({ tensor }) => tensor) as [Tensor, ...Tensor[]];
  const counts = tensors.map((tensor) => describe(tensor).count);
  return recordedOne(parts, math.concat(tensors), (tape, [g]) => split(tape, g as Variable, counts));
}
