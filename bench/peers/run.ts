/**
 * `npm run bench:peers`: webccl beside Open MPI, gloo and bare sockets, on the same sizes and ranks, in alternation, so that
 * whatever else the machine does meets all of them. Prints ratios, and writes bench/results/peers.json and peers.html.
 * `--help` lists the options. With --baseline it is webccl beside another build of webccl (baseline.ts).
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { build, isBuilt } from "../../scripts/build.ts";
import { choicesOption, toldBy, wholeOption } from "../../scripts/command-line.ts";
import { medianOf, statusLine } from "../../src/cli/bench/report.ts";
import { machineText } from "../../src/cli/machine.ts";
import { circumstances, commandLine } from "../../src/cli/page/circumstances.ts";
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
    status(`${task.collective}, ${task.ranks} ranks: round ${round + 1} of ${rounds}`);
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
  if (!told.isJson) for (const text of missing) console.log(`not here: ${text}`);
  const ours = transports.map(([name, how]) => webccl(`webccl, ${name}`, how));
  const sizes: number[] = [];
  for (let size = told.minBytes; size <= told.maxBytes; size *= 4) sizes.push(size);

  const comparisons: Comparison[] = [];
  for (const collective of told.collectives) {
    for (const ranks of told.rankCounts) {
      const comparison = await compare({ collective, ranks }, sizes, ours, peers, told.rounds);
      comparisons.push(comparison);
      status("");
      if (!told.isJson) print(comparison);
    }
  }
  const results = new URL("../results/", import.meta.url);
  if (told.isJson) console.log(JSON.stringify({ machine, missing, comparisons }));
  mkdirSync(results, { recursive: true });
  writeFileSync(new URL("peers.json", results), `${JSON.stringify({ machine, missing, comparisons }, null, 2)}\n`);
  writeFileSync(
    new URL("peers.html", results),
    htmlReport(
      comparisons,
      circumstances(commandLine(["npm", "run", "bench:peers", "--", ...process.argv.slice(2)])),
      missing,
    ),
  );
}

const COLLECTIVES = ["all_reduce", "reduce_scatter", "all_gather", "broadcast", "all_to_all"] as const;
const USAGE = `npm run bench:peers -- [options]
  --collectives C,…   ${COLLECTIVES.join(", ")} (all)
  --ranks 2,4         numbers of ranks
  --rounds N          runs of each program (5; with --baseline 11)
  --min SIZE          smallest tensor (64)
  --max SIZE          largest tensor (64M)
  --only A,B          programs and transports whose name has one of these words
  --json              prints the results as JSON

npm run bench:peers -- --baseline FOLDER [options]: beside another build of webccl, whose dist/ is in FOLDER
  --ranks, --rounds, --only and --json as above
  --sizes SIZE,…      sizes of tensors (64,4K,256K,4M)`;

const text = { type: "string" } as const;
const told = toldBy(
  USAGE,
  {
    ...{ collectives: text, ranks: text, rounds: text, min: text, max: text, only: text, baseline: text, sizes: text },
    json: { type: "boolean" },
  },
  ({ values }) => ({
    collectives: choicesOption("--collectives", values.collectives?.split(",") ?? COLLECTIVES, COLLECTIVES),
    rankCounts: (values.ranks ?? "2,4").split(",").map((count) => wholeOption("--ranks", count, 1)),
    rounds: wholeOption("--rounds", values.rounds ?? (values.baseline === undefined ? "5" : "11"), 1),
    ...{ minBytes: bytesOf(values.min ?? "64"), maxBytes: bytesOf(values.max ?? "64M") },
    only: (values.only ?? "").toLowerCase().split(","),
    baseline: values.baseline,
    sizes: (values.sizes ?? "64,4K,256K,4M").split(",").map(bytesOf),
    isJson: values.json === true,
  }),
);
const isAsked = (name: string) => told.only.some((part) => name.toLowerCase().includes(part));
const transports = TRANSPORTS.filter(([name]) => isAsked(`webccl, ${name}`));
const machine = `${machineText()}, node ${process.versions.node}`;
const status = statusLine();

if (!isBuilt()) await build();
if (told.baseline === undefined) await comparePeers();
else {
  const { baseline, rankCounts, sizes, rounds, isJson } = told;
  const options = { baseline, transports, rankCounts, sizes, rounds, onRound: status };
  const comparison = await compareBuilds(options).finally(() => status(""));
  console.log(isJson ? JSON.stringify({ machine, rounds, ...comparison }) : `${machine}\n${buildsTable(comparison)}`);
}
