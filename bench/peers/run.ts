/**
 * `npm run bench:peers`: webccl beside Open MPI, gloo and bare sockets, on the same sizes and ranks, in alternation, so that
 * whatever else the machine does meets all of them. Prints ratios, and writes bench/results/peers.json and peers.html.
 *
 *   npm run bench:peers -- [--collectives all_reduce,…] [--ranks 2,4] [--rounds 5] [--min 64] [--max 64M] [--only threads,mpi]
 *
 * With --baseline it is webccl beside another build of webccl, whose dist/ is in FOLDER (baseline.ts).
 *
 *   npm run bench:peers -- --baseline FOLDER [--ranks 2,4] [--rounds 11] [--sizes 64,4K,256K,4M] [--only threads] [--json]
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { parseArgs } from "node:util";
import { medianOf } from "../../src/cli/bench/report.ts";
import { bytesOf, sizeText } from "../sizes.ts";
import { buildsTable, compareBuilds } from "./baseline.ts";
import { type Contender, gloo, keepTimes, openMpi, sockets, type Task, type Transport, webccl } from "./contenders.ts";
import { htmlReport } from "./report.ts";

/** One contender at one collective and number of ranks. */
export interface Line {
  name: string;
  /** Bytes, and the median over the rounds, in microseconds. */
  medians: [number, number][];
  /** For webccl: bytes, and the most memory that a rank took for them above what it took before, the tensor included. */
  extraRssBytes: [number, number][];
  /** For webccl: how many times longer each peer took. */
  ratios: { peer: string; rows: { bytes: number; min: number; median: number; max: number }[] }[];
}

export interface Comparison {
  collective: string;
  ranks: number;
  lines: Line[];
}

/** Repetitions by size: as many as take about as long. The warm-ups are as many as V8 needs to compile the called code. */
const PARTS = [
  { upTo: 65_536, warmups: 1_500, iterations: 600 },
  { upTo: 4_194_304, warmups: 60, iterations: 40 },
  { upTo: Number.POSITIVE_INFINITY, warmups: 12, iterations: 8 },
] as const;

/** The transports of webccl that are measured. */
const TRANSPORTS: readonly (readonly [name: string, how: Transport])[] = [
  ["threads", { threads: true }],
  ["mapped-memory", { transport: "mapped-memory" }],
  ["shared-file", { transport: "shared-file" }],
  ["websocket", { transport: "websocket" }],
];

async function compare(
  task: Pick<Task, "collective" | "ranks">,
  sizes: readonly number[],
  ours: readonly Contender[],
  peers: readonly Contender[],
  rounds: number,
): Promise<Comparison> {
  const everyone = [...ours, ...peers];
  const times = new Map(everyone.map(({ name }) => [name, new Map<number, number[]>()]));
  const memory = new Map(ours.map(({ name }) => [name, new Map<number, number>()]));
  for (let round = 0; round < rounds; round++) {
    for (const { upTo, warmups, iterations } of PARTS) {
      const some = sizes.filter((size) => size <= upTo && !PARTS.some((part) => part.upTo < upTo && size <= part.upTo));
      if (some.length === 0) continue;
      for (const contender of everyone) {
        const samples = await contender.run({ ...task, sizes: some, warmups, iterations });
        keepTimes(times.get(contender.name)!, contender.name, samples);
        for (const { bytes, extraRssBytes } of ours.includes(contender) ? samples : []) {
          const most = memory.get(contender.name)!;
          most.set(bytes, Math.max(most.get(bytes) ?? 0, extraRssBytes!));
        }
      }
    }
    process.stderr.write(`${task.collective}, ${task.ranks} ranks: round ${round + 1} of ${rounds}\n`);
  }
  const lines = everyone
    .filter(({ name }) => times.get(name)!.size > 0)
    .map((contender): Line => {
      const own = times.get(contender.name)!;
      const against = ours.includes(contender) ? peers.filter(({ name }) => times.get(name)!.size > 0) : [];
      return {
        name: contender.name,
        medians: [...own].map(([bytes, all]) => [bytes, medianOf(all)]),
        extraRssBytes: [...(memory.get(contender.name) ?? [])],
        ratios: against.map(({ name: peer }) => ({
          peer,
          rows: [...own].flatMap(([bytes, all]) => {
            const theirs = times.get(peer)!.get(bytes);
            if (!theirs) return [];
            const ratios = all.map((time, i) => theirs[i]! / time).sort((a, b) => a - b);
            return [{ bytes, min: ratios[0]!, median: medianOf(ratios), max: ratios.at(-1)! }];
          }),
        })),
      };
    });
  return { ...task, lines };
}

function print({ collective, ranks, lines }: Comparison): void {
  for (const { name, medians, ratios, extraRssBytes } of lines) {
    const [bytes, memory] = extraRssBytes.at(-1) ?? [];
    if (bytes) console.log(`\n${name}: at most ${(memory! / 2 ** 20).toFixed(0)} MiB a rank at ${sizeText(bytes)}`);
    for (const { peer, rows } of ratios) {
      console.log(`\n${collective}, ${ranks} ranks: ${name} against ${peer} (peer's time / ours)`);
      console.log("   bytes     our us    min  median     max");
      for (const { bytes, min, median, max } of rows) {
        const time = medians.find(([size]) => size === bytes)![1];
        const cells = [sizeText(bytes).padStart(8), time.toFixed(1).padStart(10)];
        console.log([...cells, ...[min, median, max].map((ratio) => ratio.toFixed(2).padStart(7))].join(" "));
      }
    }
  }
}

/** webccl and everyone else that is here. */
async function comparePeers(): Promise<void> {
  const missing: string[] = [];
  const peers = [openMpi(), gloo(), sockets()].filter((peer): peer is Contender => {
    if (typeof peer === "string") missing.push(peer);
    return typeof peer !== "string" && isAsked(peer.name);
  });
  for (const text of missing) console.log(`not here: ${text}`);
  const ours = transports.map(([name, how]) => webccl(`webccl, ${name}`, how));
  const sizes: number[] = [];
  for (let size = bytesOf(values.min); size <= bytesOf(values.max); size *= 4) sizes.push(size);

  const comparisons: Comparison[] = [];
  for (const collective of values.collectives.split(",")) {
    for (const ranks of rankCounts) {
      const comparison = await compare({ collective, ranks }, sizes, ours, peers, Number(values.rounds ?? 5));
      comparisons.push(comparison);
      print(comparison);
    }
  }
  const results = new URL("../results/", import.meta.url);
  mkdirSync(results, { recursive: true });
  writeFileSync(new URL("peers.json", results), `${JSON.stringify({ machine, missing, comparisons }, null, 2)}\n`);
  writeFileSync(new URL("peers.html", results), htmlReport(comparisons, machine, missing));
}

const { values } = parseArgs({
  options: {
    collectives: { type: "string", default: "all_reduce,reduce_scatter,all_gather,broadcast,all_to_all" },
    ranks: { type: "string", default: "2,4" },
    rounds: { type: "string" },
    min: { type: "string", default: "64" },
    max: { type: "string", default: "64M" },
    only: { type: "string", default: "" },
    baseline: { type: "string" },
    sizes: { type: "string", default: "64,4K,256K,4M" },
    json: { type: "boolean", default: false },
  },
});
const isAsked = (name: string) =>
  values.only.split(",").some((part) => name.toLowerCase().includes(part.toLowerCase()));
const transports = TRANSPORTS.filter(([name]) => isAsked(`webccl, ${name}`));
const rankCounts = values.ranks.split(",").map(Number);
const machine = `${cpus().length} × ${cpus()[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, node ${process.versions.node}`;

if (values.baseline === undefined) await comparePeers();
else {
  const [rounds, sizes] = [Number(values.rounds ?? 11), values.sizes.split(",").map(bytesOf)];
  const comparison = await compareBuilds({ baseline: values.baseline, transports, rankCounts, sizes, rounds });
  console.log(
    values.json ? JSON.stringify({ machine, rounds, ...comparison }) : `${machine}\n${buildsTable(comparison)}`,
  );
}
