/**
 * `npm run chaos`: the promises of docs/reliability.md, put to the test with real processes. Prints one line for each, writes
 * bench/results/chaos-<date>-<seed>.json, and ends with code 1 where a promise was broken.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { endProcesses, keepBusy } from "./processes.ts";
import { lineOf } from "./report.ts";
import { isKept, type Result, runScenario } from "./run-scenario.ts";
import type { Scenario } from "./scenario.ts";
import { SCENARIOS } from "./scenarios/all.ts";

const HELP = `npm run chaos -- [options]
  --minutes M        how long R7 and R15 go on, each (10)
  --seed S           draws the faults: the same seed, the same faults at the same points (the day)
  --only R1,R3       these promises alone: ${SCENARIOS.map(({ id }) => id).join(" ")}
  --repetitions N    faults of each, instead of its own number
  --busy             keeps all cores at 100 % with other work
  --json             prints the result as JSON`;

interface Options {
  readonly seed: number;
  readonly minutes: number;
  readonly repetitions: number | undefined;
  readonly scenarios: readonly Scenario[];
  readonly isBusy: boolean;
  readonly asJson: boolean;
}

/** @throws RangeError if an option has an impossible value; TypeError if there is no such option. */
function readOptions(): Options | null {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string", default: "10" },
      seed: { type: "string", default: new Date().toISOString().slice(0, 10).replaceAll("-", "") },
      only: { type: "string" },
      repetitions: { type: "string" },
      busy: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return null;
  const minutes = Number(values.minutes);
  if (!(minutes > 0 && minutes < 1_000))
    throw new RangeError(`--minutes is "${values.minutes}": a number above 0 is needed`);
  const wanted = values.only?.split(",");
  const unknown = wanted?.filter((id) => !SCENARIOS.some((scenario) => scenario.id === id)) ?? [];
  if (unknown.length > 0) {
    throw new RangeError(
      `--only: there is no ${unknown.join(", ")}; there are ${SCENARIOS.map(({ id }) => id).join(", ")}`,
    );
  }
  return {
    ...{ seed: whole("seed", values.seed, 0), minutes },
    repetitions: values.repetitions === undefined ? undefined : whole("repetitions", values.repetitions, 1),
    scenarios: SCENARIOS.filter(({ id }) => wanted?.includes(id) ?? true),
    ...{ isBusy: values.busy, asJson: values.json },
  };
}

function whole(name: string, text: string, least: number): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= least) return number;
  throw new RangeError(`--${name} is "${text}": a whole number of at least ${least} is needed`);
}

async function runAll({ seed, minutes, repetitions, scenarios, isBusy, asJson }: Options): Promise<boolean> {
  const release = isBusy ? keepBusy(availableParallelism()) : () => {};
  process.on("exit", release);
  const results: Result[] = [];
  for (const scenario of scenarios) {
    const onProgress = (done: number, all: number) => {
      if (process.stderr.isTTY) process.stderr.write(`\r${scenario.id}: ${done} of ${all} faults `);
    };
    const result = await runScenario(scenario, { seed, extent: { minutes }, repetitions, onProgress });
    if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
    results.push(result);
    if (!asJson) console.log(lineOf(result));
  }
  release();
  const machine = `${cpus()[0]?.model}, ${availableParallelism()} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`;
  const date = new Date().toISOString();
  // Other programs of the machine make every time longer.
  const load = loadavg().map((value) => Math.round(value * 10) / 10);
  const report = { date, machine, load, seed, minutes, isBusy, results };
  const folder = fileURLToPath(new URL("../results/", import.meta.url));
  const file = `chaos-${date.slice(0, 19).replaceAll(":", "-")}-${seed}.json`;
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${folder}${file}`, `${JSON.stringify(report, null, 1)}\n`);
  const broken = results.filter((result) => !isKept(result)).map(({ id }) => id);
  if (asJson) console.log(JSON.stringify(report));
  else {
    console.log(`${machine}, load ${load[1]}; seed ${seed}; bench/results/${file}`);
    console.log(broken.length > 0 ? `broken: ${broken.join(", ")}` : "every promise was kept");
  }
  return broken.length === 0;
}

try {
  const options = readOptions();
  if (options) process.exitCode = (await runAll(options)) ? 0 : 1;
  else console.log(HELP);
} catch (error) {
  const isUsage = error instanceof RangeError || error instanceof TypeError;
  console.error(isUsage ? error.message : error);
  process.exitCode = 2;
} finally {
  await endProcesses();
}
