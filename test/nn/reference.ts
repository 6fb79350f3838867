/**
 * The reference: each element of a result is a fold of some elements of all ranks' inputs, and the Jacobian is written down element
 * by element, without any of the library's way back.
 */
import { type Case, type Lists, shapesOf } from "./cases.ts";

type Place = readonly [rank: number, list: number, index: number];

/** One element of y: the inputs that are folded, in rank order; without any it is zero, and a copy has no gradient. */
interface Wire {
  readonly to: Place;
  readonly from: readonly Place[];
  readonly isCopy: boolean;
}

function wiresOf(one: Case): Wire[] {
  const { collective, size, root, counts } = one;
  const ranks = Array.from({ length: size }, (_, rank) => rank);
  const before = (list: number[]) => list.reduce((sum, count) => sum + count, 0);
  const at = (q: number, r: number) => counts[q]?.[r] ?? 0;
  const all = (list: number, index: number): Place[] => ranks.map((q) => [q, list, index]);
  return shapesOf(one).y.flatMap((list, rank) =>
    list.flatMap((count, k) =>
      Array.from({ length: count }, (_, i): Wire => {
        const wire = (from: Place[], isCopy = false) => ({ to: [rank, k, i] as const, from, isCopy });
        switch (collective) {
          case "allReduce":
            return wire(all(0, i));
          case "reduce":
            return rank === root ? wire(all(0, i)) : wire([[rank, 0, i]], true);
          case "reduceScatter":
            return wire(all(rank, i));
          case "reduceScatterBase":
            return wire(all(0, rank * count + i));
          case "broadcast":
            return wire([[root, 0, i]]);
          case "gather":
            return wire(rank === root ? [[k, 0, i]] : []);
          case "scatter":
            return wire([[root, rank, i]]);
          case "allGather":
            return wire([[k, 0, i]]);
          case "allGatherBase":
            return wire([[Math.floor(i / (count / size)), 0, i % (count / size)]]);
          case "allToAll":
            return wire([[k, rank, i]]);
          default: {
            const starts = ranks.map((q) => before(ranks.slice(0, q).map((p) => at(p, rank))));
            const q = ranks.findLast((p) => (starts[p] as number) <= i && at(p, rank) > 0) ?? 0;
            const start = before(ranks.slice(0, rank).map((r) => at(q, r)));
            return wire([[q, 0, start + i - (starts[q] as number)]]);
          }
        }
      }),
    ),
  );
}

const get = (lists: Lists, [rank, list, index]: Place) => lists[rank]?.[list]?.[index] as number;
const addTo = (lists: Lists, [rank, list, index]: Place, value: number) => {
  const array = lists[rank]?.[list] as number[];
  array[index] = (array[index] as number) + value;
};
const zerosOf = (counts: number[][]): Lists =>
  counts.map((list) => list.map((count) => new Array<number>(count).fill(0)));
const isReduction = ({ collective }: Case) => /educe/.test(collective);
const others = (values: readonly number[], ...without: number[]) =>
  values.reduce((product, value, i) => (without.includes(i) ? product : product * value), 1);

function fold(one: Case, values: readonly number[]): number {
  if (values.length === 0) return 0;
  if (!isReduction(one)) return values[0] as number;
  const sum = (list: readonly number[]) => list.reduce((total, value) => total + value, 0);
  const folds = {
    sum: () => sum(values),
    avg: () => sum(values.map((value) => value / one.size)),
    "premul-sum": () => sum(values.map((value, rank) => value * (one.factors[rank] as number))),
    min: () => Math.min(...values),
    max: () => Math.max(...values),
    product: () => others(values),
  };
  return folds[one.op]();
}

/** The derivative of a fold by its `rank`-th input. */
function partial(one: Case, values: readonly number[], rank: number): number {
  if (!isReduction(one)) return 1;
  const partials = {
    sum: () => 1,
    avg: () => 1 / one.size,
    "premul-sum": () => one.factors[rank] as number,
    min: () => (values.findIndex((value) => Object.is(value, Math.min(...values))) === rank ? 1 : 0),
    max: () => (values.findIndex((value) => Object.is(value, Math.max(...values))) === rank ? 1 : 0),
    product: () => others(values, rank),
  };
  return partials[one.op]();
}

export interface Expected {
  y: Lists;
  /** For the case's gy. */
  gx: Lists;
  /** Gradients of gy and x, if `ggx` is that of gx. */
  ggy: Lists;
  xx: Lists;
}

export function expectedOf(one: Case): Expected {
  const shapes = shapesOf(one);
  const [y, ggy, gx, xx] = [zerosOf(shapes.y), zerosOf(shapes.y), zerosOf(shapes.x), zerosOf(shapes.x)];
  for (const { to, from, isCopy } of wiresOf(one)) {
    const values = from.map((place) => get(one.x, place));
    if (isCopy) {
      addTo(y, to, values[0] as number);
      continue;
    }
    addTo(y, to, fold(one, values));
    const g = get(one.gy, to);
    from.forEach((place, r) => {
      addTo(gx, place, g * partial(one, values, r));
      addTo(ggy, to, get(one.ggx, place) * partial(one, values, r));
      if (!isReduction(one) || one.op !== "product") return;
      from.forEach((other, s) => {
        if (s !== r) addTo(xx, other, g * get(one.ggx, place) * others(values, r, s));
      });
    });
  }
  return { y, gx, ggy, xx };
}
