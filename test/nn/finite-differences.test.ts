/**
 * Every pullback against central differences of the function whose pullback it is: the first order against the collectives themselves,
 * the second against the first, the third against the second.
 */
import { describe, expect, it } from "vitest";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";
import { withMemoryGroups } from "../conformance/harness.ts";
import {
  type AnyPullback,
  type Case,
  callOf,
  inputForm,
  type Lists,
  listOf,
  MOVES,
  OPS,
  outputForm,
  REDUCTIONS,
  shapesOf,
} from "./cases.ts";

const SEED = Number(process.env.WEBCCL_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
console.log(`finite-differences.test.ts: WEBCCL_TEST_SEED=${SEED}`);
const STEP = 2 ** -12;
const TOLERANCE = 1e-5;

/** Numbers away from zero and from each other, so that a difference crosses no kink of MIN and MAX. */
function draw(random: SeededRandom, counts: number[][], used: Set<number>): Lists {
  const one = (): number => {
    const drawn = ((random.below(400) + 100) / 256) * (random.below(2) === 0 ? 1 : -1);
    if (used.has(drawn)) return one();
    used.add(drawn);
    return drawn;
  };
  return counts.map((list) => list.map((count) => Array.from({ length: count }, one)));
}

/** The three arguments of a case's third derivative, by name. */
type Arguments = Record<"x" | "gy" | "ggx", Lists>;
type Cotangents = { ggy: Lists; xx: Lists };

interface Orders {
  y: Float64Array[];
  gx: Float64Array[];
  second: Float64Array[][];
  third: Record<"ggx" | "gy" | "x", Float64Array[]>;
}

/** The results of all orders on one rank. */
async function ordersOf(group: ProcessGroup, one: Case, at: Arguments, last: Cotangents): Promise<Orders> {
  const { rank } = group;
  const own = (lists: Lists) => (lists[rank] ?? []).map((values) => Float64Array.from(values));
  const arrays = (form: unknown) => listOf(form) as Float64Array[];
  const like = new Float64Array(one.counts[0]?.[0] ?? 0);
  const input = (lists: Lists) => inputForm(one.collective, own(lists));
  const output = (lists: Lists) => outputForm(one.collective, own(lists));
  const [y, pullback] = await callOf(group, one, input(at.x), like);
  const [gx, pullback2] = await pullback.withPullback(output(at.gy));
  const [both, pullback3] = await (pullback2 as AnyPullback).withPullback(input(at.ggx));
  const [ggy, xx] = both as [unknown, unknown];
  const [ggx, [gy, x]] = (await pullback3([output(last.ggy), input(last.xx)])) as [unknown, [unknown, unknown]];
  return {
    ...{ y: arrays(y), gx: arrays(gx), second: [arrays(ggy), arrays(xx)] },
    third: { ggx: arrays(ggx), gy: arrays(gy), x: arrays(x) },
  };
}

const dot = (lists: readonly number[][] | undefined, arrays: readonly Float64Array[]) =>
  arrays.reduce(
    (sum, array, k) => array.reduce((part, value, i) => part + value * (lists?.[k]?.[i] as number), sum),
    0,
  );

async function checkCase(size: number, one: Case, last: Cotangents): Promise<void> {
  const at: Arguments = { x: one.x, gy: one.gy, ggx: one.ggx };
  const places = (["x", "gy", "ggx"] as const).flatMap((name) =>
    at[name].flatMap((list, rank) => list.flatMap((values, k) => values.map((_, i) => ({ name, rank, k, i })))),
  );
  const moved = ({ name, rank, k, i }: (typeof places)[number], by: number): Arguments => {
    const lists = structuredClone(at[name]);
    const values = lists[rank]?.[k] as number[];
    values[i] = (values[i] as number) + by;
    return { ...at, [name]: lists };
  };
  const byRank = await withMemoryGroups(size, async (group) => {
    const run = (args: Arguments) => ordersOf(group, one, args, last);
    const exact = await run(at);
    const differences: number[][] = [];
    for (const place of places) {
      const [up, down] = [await run(moved(place, STEP)), await run(moved(place, -STEP))];
      const scalars = ({ y, gx, second: [ggy, xx] }: Orders) => [
        dot(one.gy[group.rank], y),
        dot(one.ggx[group.rank], gx),
        dot(last.ggy[group.rank], ggy ?? []) + dot(last.xx[group.rank], xx ?? []),
      ];
      const below = scalars(down);
      differences.push(scalars(up).map((value, order) => (value - (below[order] as number)) / (2 * STEP)));
    }
    return { exact, differences };
  });
  places.forEach(({ name, rank, k, i }, p) => {
    const [first, second, third] = [0, 1, 2].map((order) =>
      byRank.reduce((sum, { differences }) => sum + (differences[p]?.[order] as number), 0),
    );
    const exact = byRank[rank]?.exact as Orders;
    const where = `${one.collective} ${one.op}, ${name}[${rank}][${k}][${i}], seed ${SEED}`;
    const expectNear = (actual: number | undefined, difference: number | undefined, order: string) =>
      expect(Math.abs((actual as number) - (difference as number)), `${order} order, ${where}`).toBeLessThan(TOLERANCE);
    if (name === "x") expectNear(exact.gx[k]?.[i], first, "first");
    if (name === "x") expectNear(exact.second[1]?.[k]?.[i], second, "second");
    if (name === "gy") expectNear(exact.second[0]?.[k]?.[i], second, "second");
    expectNear(exact.third[name][k]?.[i], third, "third");
  });
}

describe.each([2, 3])("pullbacks on %i ranks", (size) => {
  const kinds = [
    ...REDUCTIONS.flatMap((collective) => OPS.map((op) => [collective, op] as const)),
    ...MOVES.map((collective) => [collective, "sum"] as const),
  ];
  it.each(kinds)("of %s with %s agree with differences to the third order", async (collective, op) => {
    const random = new SeededRandom(SEED);
    const counts = Array.from({ length: size }, () => Array.from({ length: size }, () => 1 + random.below(2)));
    const root = random.below(size);
    const shapes = shapesOf({ collective, size, root, counts });
    const [x, ggx, xx] = [0, 1, 2].map(() => draw(random, shapes.x, new Set())) as [Lists, Lists, Lists];
    const [gy, ggy] = [0, 1].map(() => draw(random, shapes.y, new Set())) as [Lists, Lists];
    // Off root the result is a constant, whatever x is.
    if (collective === "reduce") {
      gy.forEach((list, rank) => {
        if (rank !== root) list[0]?.fill(0);
      });
    }
    const factors = Array.from({ length: size }, () => (random.below(64) + 16) / 32);
    await checkCase(size, { collective, op, size, root, factors, counts, x, gy, ggx }, { ggy, xx });
  });
});
