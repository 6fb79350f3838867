/**
 * `npm run bench:hub`: R8 to R11 and R18 of docs/reliability.md at a hub in a process of its own. Prints a table, writes
 * bench/results/hub-<date>.json, and ends with code 1 where a target was missed.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { choicesOption, toldBy, wholeOption } from "../../scripts/command-line.ts";
import { endProcesses } from "./processes.ts";
import type { Extent, Part, Row } from "./row.ts";
import { attacks } from "./rows/attacks.ts";
import { crowds } from "./rows/crowds.ts";
import { reader } from "./rows/slow-reader.ts";

const PARTS: readonly Part[] = [attacks, reader, crowds];

const USAGE = `npm run bench:hub -- [options]
  --only R8,R18      these rows alone: ${PARTS.flatMap(({ ids }) => ids).join(" ")}
  --attack TEXT      of the attacks of R8 and R9 those whose names have this text (all)
  --frames N         drawn frames of R8 (100000)
  --seconds S        how long R11's reader stands still (60)
  --tabs N           tabs of R18, idle sockets of R10 (1000)
  --ranks N          ranks of R18's process group (1000)
  --seed S           draws R8's frames (1)
  --json             prints the result as JSON`;

interface Options {
  readonly extent: Extent;
  readonly only: readonly string[] | undefined;
  readonly asJson: boolean;
}

const told: Options = toldBy(
  USAGE,
  {
    only: { type: "string" },
    attack: { type: "string", default: "" },
    frames: { type: "string", default: "100000" },
    seconds: { type: "string", default: "60" },
    tabs: { type: "string", default: "1000" },
    ranks: { type: "string", default: "1000" },
    seed: { type: "string", default: "1" },
    json: { type: "boolean", default: false },
  },
  ({ values }) => ({
    extent: {
      frames: wholeOption("--frames", values.frames, 0),
      seconds: wholeOption("--seconds", values.seconds, 1),
      tabs: wholeOption("--tabs", values.tabs, 2),
      ranks: wholeOption("--ranks", values.ranks, 2),
      seed: wholeOption("--seed", values.seed, 0),
      attack: values.attack,
    },
    only:
      values.only === undefined
        ? undefined
        : choicesOption(
            "--only",
            values.only.split(","),
            PARTS.flatMap(({ ids }) => ids),
          ),
    asJson: values.json,
  }),
);

const lineOf = ({ id, what, target, measured, isKept }: Row) =>
  `${id.padEnd(4)} ${isKept ? "kept  " : "MISSED"} ${what}: ${measured} (target ${target})`;

async function measureAll({ extent, only, asJson }: Options): Promise<boolean> {
  const rows: Row[] = [];
  for (const part of PARTS) {
    if (only && !part.ids.some((id) => only.includes(id))) continue;
    for await (const row of part.measure(extent, (id) => only?.includes(id) ?? true)) {
      rows.push(row);
      if (!asJson) console.log(lineOf(row));
    }
  }
  const machine = `${cpus()[0]?.model}, ${availableParallelism()} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`;
  const date = new Date().toISOString();
  // Other programs of the machine make every time longer.
  const load = loadavg().map((value) => Math.round(value * 10) / 10);
  const report = { date, machine, load, extent, rows };
  const folder = fileURLToPath(new URL("../results/", import.meta.url));
  const file = `hub-${date.slice(0, 19).replaceAll(":", "-")}.json`;
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${folder}${file}`, `${JSON.stringify(report, null, 1)}\n`);
  const missed = rows.filter(({ isKept }) => !isKept);
  if (asJson) console.log(JSON.stringify(report));
  else console.log(`${machine}, load ${load[0]}; bench/results/${file}; ${missed.length} of ${rows.length} missed`);
  return missed.length === 0;
}

try {
  process.exitCode = (await measureAll(told)) ? 0 : 1;
} finally {
  endProcesses();
}
