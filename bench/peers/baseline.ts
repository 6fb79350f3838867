/**
 * This build of webccl beside another one: allReduce of f32, in alternation, each build in processes of its own that run its
 * own command. A ratio is the baseline's time by this build's in the same round, above 1 where this build is faster.
 */
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { medianOf } from "../../src/cli/bench/report.ts";
import { sizeText } from "../sizes.ts";
import { keepTimes, type Transport, webcclBuild } from "./contenders.ts";

/** The builds and the cells to compare. */
export interface BuildsOptions {
  /** Folder with the dist/ of the other build. */
  baseline: string;
  transports: readonly (readonly [name: string, how: Transport])[];
  rankCounts: readonly number[];
  /** In bytes, ascending. */
  sizes: readonly number[];
  /** How many times each build runs. */
  rounds: number;
  /** Called after each, with words for whoever watches. */
  onRound(text: string): void;
}

/** One transport, number of ranks and size; times are medians over the rounds, in microseconds. */
export interface Cell {
  transport: string;
  ranks: number;
  bytes: number;
  hereUs: number;
  thereUs: number;
  /** Median over the rounds of baseline time ÷ this build's time. */
  ratio: number;
}

/** Every cell, the geometric mean of their ratios, and the cell with the least ratio. */
export interface BuildsComparison {
  cells: Cell[];
  geometricMean: number;
  least: Cell;
}

/** @throws Error if a build is missing, fails, or has a wrong element in a result. */
export async function compareBuilds(options: BuildsOptions): Promise<BuildsComparison> {
  const { transports, rankCounts } = options;
  const cells: Cell[] = [];
  for (const [name, how] of transports) {
    for (const ranks of rankCounts) cells.push(...(await compareOne(name, how, ranks, options)));
  }
  const [first, ...others] = cells;
  if (first === undefined) throw new RangeError("no transport, number of ranks or size to compare");
  const least = others.reduce((a, b) => (b.ratio < a.ratio ? b : a), first);
  const geometricMean = Math.exp(cells.reduce((sum, { ratio }) => sum + Math.log(ratio), 0) / cells.length);
  return { cells, geometricMean, least };
}

/** The cells of one transport and number of ranks. */
async function compareOne(transport: string, how: Transport, ranks: number, options: BuildsOptions): Promise<Cell[]> {
  const { baseline, sizes, rounds, onRound } = options;
  const here = webcclBuild("here", fileURLToPath(new URL("../..", import.meta.url)), how);
  const there = webcclBuild("there", resolve(baseline), how);
  const [hereTimes, thereTimes] = [new Map<number, number[]>(), new Map<number, number[]>()];
  for (let round = 0; round < rounds; round++) {
    keepTimes(hereTimes, here.name, await here.run({ collective: "all_reduce", ranks, sizes }));
    keepTimes(thereTimes, there.name, await there.run({ collective: "all_reduce", ranks, sizes }));
    onRound(`${transport}, ${ranks} ranks: round ${round + 1} of ${rounds}`);
  }
  return [...hereTimes].map(([bytes, own]) => {
    const other = thereTimes.get(bytes);
    if (other?.length !== own.length) throw new Error(`${transport}, ${ranks} ranks: the builds measured other sizes`);
    const ratios = other.map((time, round) => time / (own[round] ?? Number.NaN));
    return { transport, ranks, bytes, hereUs: medianOf(own), thereUs: medianOf(other), ratio: medianOf(ratios) };
  });
}

/** One line per cell; the last two lines are the geometric mean and the least ratio. */
export function buildsTable({ cells, geometricMean, least }: BuildsComparison): string {
  const lines = cells.map(({ transport, ranks, bytes, hereUs, thereUs, ratio }) =>
    line([transport, `${ranks}`, sizeText(bytes), hereUs.toFixed(1), thereUs.toFixed(1), ratio.toFixed(3)]),
  );
  const leastName = `${least.transport}, ${least.ranks} ranks, ${sizeText(least.bytes)}`;
  return [
    line(["transport", "ranks", "bytes", "here us", "there us", "ratio"]),
    ...lines,
    `geometric mean ${geometricMean.toFixed(3)}`,
    `least ${least.ratio.toFixed(3)} (${leastName})`,
  ].join("\n");
}

function line([transport = "", ...cells]: readonly string[]): string {
  return [transport.padEnd(12), ...cells.map((cell) => cell.padStart(10))].join("");
}
