/**
 * `npm run chaos`: the promises of docs/reliability.md, put to the test with real processes. Prints one line for each, writes
 * bench/results/chaos-<date>-<seed>.json, and ends with code 1 where a promise was broken.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism, loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import { build, isBuilt } from "../../scripts/build.ts";
import { choicesOption, toldBy, wholeOption } from "../../scripts/command-line.ts";
import { machineText } from "../../src/cli/machine.ts";
import { endProcesses, keepBusy } from "./processes.ts";
import { lineOf } from "./report.ts";
import { isKept, type Result, runScenario } from "./run-scenario.ts";
import type { Scenario } from "./scenario.ts";
import { SCENARIOS } from "./scenarios/all.ts";

const USAGE = `npm run chaos -- [options]
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

const text = { type: "string" } as const;
const BOOLEAN = { type: "boolean" } as const;

function readOptions(): Options {
  const options = { minutes: text, seed: text, only: text, repetitions: text, busy: BOOLEAN, json: BOOLEAN };
  return toldBy(USAGE, options, ({ values }) => {
    const minutes = Number(values.minutes ?? 10);
    if (!(minutes > 0 && minutes < 1_000))
      throw new RangeError(`--minutes is "${values.minutes}": a number above 0 is needed`);
    const ids = SCENARIOS.map(({ id }) => id);
    const wanted = choicesOption("--only", values.only?.split(",") ?? ids, ids);
    return {
      seed: wholeOption("--seed", values.seed ?? new Date().toISOString().slice(0, 10).replaceAll("-", ""), 0),
      minutes,
      repetitions: values.repetitions === undefined ? undefined : wholeOption("--repetitions", values.repetitions, 1),
      scenarios: SCENARIOS.filter(({ id }) => wanted.includes(id)),
      ...{ isBusy: values.busy === true, asJson: values.json === true },
    };
  });
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
  const machine = `${machineText()}, node ${process.versions.node}`;
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

const options = readOptions();
if (!isBuilt()) await build();
try {
  process.exitCode = (await runAll(options)) ? 0 : 1;
} catch (error) {
  console.error(error);
  process.exitCode = 2;
} finally {
  await endProcesses();
}
