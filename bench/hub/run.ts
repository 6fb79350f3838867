/**
 * `npm run bench:hub`: R8 to R11 and R18 of docs/reliability.md at a hub in a process of its own. Prints a table, writes
 * bench/results/hub-<date>.json, and ends with code 1 where a target was missed.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { endProcesses } from "./processes.ts";
import type { Extent, Part, Row } from "./row.ts";
import { attacks } from "./rows/attacks.ts";
import { crowds } from "./rows/crowds.ts";
import { reader } from "./rows/slow-reader.ts";

const PARTS: readonly Part[] = [attacks, reader, crowds];

const HELP = `npm run bench:hub -- [options]
  --only R8,R18      these rows alone: ${PARTS.flatMap(({ ids }) => ids).join(" ")}
  --frames N         drawn frames of R8 (100000)
  --seconds S        how long R11's reader stands still (60)
  --tabs N           tabs of R18, idle sockets of R10 (1000)
  --seed S           draws R8's frames (1)
  --json             prints the result as JSON`;

interface Options {
  readonly extent: Extent;
  readonly only: readonly string[] | undefined;
  readonly asJson: boolean;
}

/** @throws RangeError if an option has an impossible value; TypeError if there is no such option. */
function readOptions(): Options | null {
  const { values } = parseArgs({
    options: {
      only: { type: "string" },
      frames: { type: "string", default: "100000" },
      seconds: { type: "string", default: "60" },
      tabs: { type: "string", default: "1000" },
      seed: { type: "string", default: "1" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return null;
  const extent = {
    ...{ frames: whole("frames", values.frames, 0), seconds: whole("seconds", values.seconds, 1) },
    ...{ tabs: whole("tabs", values.tabs, 2), seed: whole("seed", values.seed, 0) },
  };
  const only = values.only?.split(",");
  const ids = PARTS.flatMap((part) => part.ids);
  const unknown = only?.filter((id) => !ids.includes(id)) ?? [];
  if (unknown.length > 0)
    throw new RangeError(`--only: there is no ${unknown.join(", ")}; there are ${ids.join(", ")}`);
  return { extent, only, asJson: values.json };
}

function whole(name: string, text: string, least: number): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= least) return number;
  throw new RangeError(`--${name} is "${text}": a whole number of at least ${least} is needed`);
}

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
  const options = readOptions();
  if (options) process.exitCode = (await measureAll(options)) ? 0 : 1;
  else console.log(HELP);
} catch (error) {
  const isUsage = error instanceof RangeError || error instanceof TypeError;
  console.error(isUsage ? error.message : error);
  process.exitCode = 2;
} finally {
  endProcesses();
}
