/**
 * `npm run bench:tune`: where one algorithm gives way to the next. Runs every algorithm of each collective on the same sizes,
 * in alternation, and tells the fastest of each size beside the one that `src/backend/direct/select.ts` takes, whose sizes are
 * set by hand from this.
 * Writes bench/results/tune-LINK.json; `--help` lists the options.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { build, isBuilt } from "../scripts/build.ts";
import { choicesOption, toldBy, wholeOption } from "../scripts/command-line.ts";
import { addressableRows } from "../src/algorithm/addressable/rows.ts";
import { areasRows } from "../src/algorithm/areas/rows.ts";
import type { AlgorithmFamily } from "../src/algorithm/rows.ts";
import { algorithmNames, selectAlgorithm, tableWith } from "../src/backend/direct/select.ts";
import { measure } from "../src/cli/bench/bench.ts";
import { medianOf, statusLine } from "../src/cli/bench/report.ts";
import { machineText } from "../src/cli/machine.ts";
import type { LinkKind } from "../src/link/link.ts";
import { bytesOf, sizeText } from "./sizes.ts";

/** The names in `webccl bench` of the collectives that have more than one algorithm. */
const FAMILIES: Readonly<Record<string, AlgorithmFamily>> = {
  all_reduce: "allReduce",
  reduce_scatter: "reduceScatter",
  all_gather: "allGather",
  broadcast: "broadcast",
  reduce: "reduce",
};

/** One size: every algorithm's median time, in microseconds, and the one that runs when none is named. */
interface Row {
  bytes: number;
  timeUs: Record<string, number>;
  fastest: string;
  selected: string;
}

type Transport = "shared-memory" | "mapped-memory" | "shared-file" | "websocket" | "hub";

/** Do ranks on this link have memory in common? */
const hasMemory = (link: LinkKind) => link === "shared-memory" || link === "mapped-memory";

/** The table of groups on this link. */
function tableOf(link: LinkKind) {
  return tableWith(hasMemory(link) ? addressableRows : link === "shared-file" ? areasRows : {});
}

/** A call as select.ts is asked for one on this link. */
function query(collective: AlgorithmFamily, bytes: number, size: number, link: LinkKind, algorithm?: string) {
  const crowded = hasMemory(link) && size > availableParallelism();
  const promises = { deterministic: false, commutative: true, sameArithmetic: true, custom: false } as const;
  return selectAlgorithm(tableOf(link), { collective, bytes, size, link, hub: "all", crowded, algorithm, ...promises });
}

/** The algorithms of `collective` that run here. */
function eligible(collective: AlgorithmFamily, ranks: number, link: LinkKind): string[] {
  return algorithmNames(tableOf(link), collective).filter((name) => {
    try {
      query(collective, 1, ranks, link, name);
      return name !== "hub" || link === "hub";
    } catch (error) {
      if (error instanceof RangeError) return false;
      throw error;
    }
  });
}

/** How a collective is measured. */
interface TuneOptions {
  link: Transport;
  rounds: number;
  maxBytes: number;
  onRound(text: string): void;
}

async function tune(name: string, ranks: number, { link, rounds, maxBytes, onRound }: TuneOptions): Promise<Row[]> {
  const collective = FAMILIES[name]!;
  const algorithms = eligible(collective, ranks, link);
  const times = new Map<number, Map<string, number[]>>();
  const where = link === "shared-memory" ? { threads: true } : { transport: link };
  for (let round = 0; round < rounds; round++) {
    for (const algorithm of algorithms) {
      const range = { minBytes: 1024, maxBytes, factor: 4 };
      const what = { collectives: [name], ranks, dtype: "f32", op: "sum", algorithm } as const;
      const [report] = await measure({ ...what, ...range, ...where });
      for (const { bytes, timeUs, wrong } of report!.results) {
        if (wrong > 0) throw new Error(`${name}, ${algorithm}: ${wrong} wrong elements at ${bytes} bytes`);
        const row = times.get(bytes) ?? new Map<string, number[]>();
        times.set(bytes, row.set(algorithm, [...(row.get(algorithm) ?? []), timeUs.median]));
      }
    }
    onRound(`${name}, ${ranks} ranks: round ${round + 1} of ${rounds}`);
  }
  return [...times].map(([bytes, row]) => {
    const timeUs = Object.fromEntries([...row].map(([algorithm, all]) => [algorithm, medianOf(all)]));
    const fastest = algorithms.reduce((best, one) => (timeUs[one]! < timeUs[best]! ? one : best));
    return { bytes, timeUs, fastest, selected: query(collective, bytes, ranks, link).algorithm };
  });
}

const LINKS = ["shared-memory", "mapped-memory", "shared-file", "websocket", "hub"] as const satisfies Transport[];
const USAGE = `npm run bench:tune -- [options]
  --link L               ${LINKS.join(", ")} (websocket)
  --ranks 2,4            numbers of ranks
  --collectives C,…      ${Object.keys(FAMILIES).join(", ")} (all)
  --rounds N             runs of each algorithm (3)
  --max SIZE             largest tensor (16M)
  --json                 prints the tables as JSON`;
const text = { type: "string" } as const;
const { link, rankCounts, collectives, rounds, maxBytes, isJson } = toldBy(
  USAGE,
  { link: text, ranks: text, collectives: text, rounds: text, max: text, json: { type: "boolean" } },
  ({ values }) => ({
    link: choicesOption("--link", [values.link ?? "websocket"], LINKS)[0] ?? "websocket",
    rankCounts: (values.ranks ?? "2,4").split(",").map((count) => wholeOption("--ranks", count, 1)),
    collectives: choicesOption(
      "--collectives",
      values.collectives?.split(",") ?? Object.keys(FAMILIES),
      Object.keys(FAMILIES),
    ),
    rounds: wholeOption("--rounds", values.rounds ?? "3", 1),
    maxBytes: bytesOf(values.max ?? "16M"),
    isJson: values.json === true,
  }),
);
if (!isBuilt()) await build();
const status = statusLine();
const machine = `${machineText()}, node ${process.versions.node}`;
const results: { collective: string; ranks: number; rows: Row[] }[] = [];
for (const collective of collectives) {
  for (const ranks of rankCounts) {
    const rows = await tune(collective, ranks, { link, rounds, maxBytes, onRound: status });
    status("");
    results.push({ collective, ranks, rows });
    if (isJson) continue;
    console.log(`\n${collective}, ${ranks} ranks, ${link}: median µs; select.ts takes the one in brackets`);
    for (const { bytes, timeUs, fastest, selected } of rows) {
      const cells = Object.entries(timeUs).map(([algorithm, time]) => {
        const mark = algorithm === selected ? `[${algorithm}]` : algorithm;
        return `${mark} ${time.toFixed(0)}${algorithm === fastest ? " *" : ""}`;
      });
      console.log(`${sizeText(bytes).padStart(6)}  ${cells.join("   ")}`);
    }
  }
}
const folder = new URL("results/", import.meta.url);
mkdirSync(folder, { recursive: true });
writeFileSync(new URL(`tune-${link}.json`, folder), `${JSON.stringify({ machine, link, results }, null, 2)}\n`);
if (isJson) console.log(JSON.stringify({ machine, link, results }));
