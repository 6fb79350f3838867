/**
 * The program of `npm run simulate`, whose usage is in scripts/simulate.ts: runs seeded schedules on all cores, and says which
 * invariants they broke. Each core has a process of its own, which prints one line of JSON for each schedule that broke one.
 */
import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Violation } from "./run/invariants.ts";
import { drawSchedule, lineOf, type Schedule } from "./run/schedule.ts";
import { Simulator } from "./simulator.ts";

/** What one process tells: a schedule that broke an invariant, or how far it has come. */
type Line =
  | { readonly seed: number; readonly violations: readonly Violation[]; readonly shortened: Schedule }
  | { readonly done: number; readonly events: number };

const EVERY = 50;

/** The part of one process: seeds `first`, `first + step`, … */
async function work(first: number, step: number, end: number, shortens: boolean): Promise<void> {
  const simulator = new Simulator();
  let [done, events] = [0, 0];
  const say = (line: Line) => process.stdout.write(`${JSON.stringify(line)}\n`);
  for (let seed = first; seed < end; seed += step) {
    const schedule = drawSchedule(seed);
    const { result, violations } = await simulator.check(schedule);
    done++;
    events += result.events;
    if (violations[0]) {
      say({ seed, violations, shortened: shortens ? await simulator.shorten(schedule, violations[0]) : schedule });
    }
    if (done % EVERY === 0 || seed + step >= end) {
      say({ done, events });
      [done, events] = [0, 0];
    }
  }
}

/** Runs one schedule here, and prints what happened. */
async function one(schedule: Schedule, keepsLines: boolean, asJson: boolean): Promise<boolean> {
  const { result, violations } = await new Simulator().check(schedule, { keepsLines });
  const { events, endMs, hash } = result;
  if (asJson) console.log(JSON.stringify({ schedule, events, endMs, hash, violations, trace: result.lines }));
  else {
    for (const line of result.lines ?? []) console.log(line);
    console.log(`schedule: ${lineOf(schedule)}`);
    for (const { rank, hasDied, error } of result.ranks) {
      console.log(`rank ${rank}: ${hasDied ? "its process ended" : (error?.message ?? "well")}`);
    }
    for (const { invariant, text } of violations) console.log(`VIOLATION ${invariant}: ${text}`);
    console.log(`${events} events in ${Math.round(endMs)} virtual ms, ${violations.length} violations, trace ${hash}`);
  }
  return violations.length === 0;
}

/** Runs many in processes of their own. */
async function many(first: number, seeds: number, jobs: number, shortens: boolean, asJson: boolean): Promise<boolean> {
  const started = performance.now();
  const found: Extract<Line, { seed: number }>[] = [];
  let [done, events] = [0, 0];
  const onLine = (text: string) => {
    const line = JSON.parse(text) as Line;
    if ("seed" in line) {
      found.push(line);
      if (!asJson) report(line);
    } else {
      done += line.done;
      events += line.events;
      if (process.stderr.isTTY) process.stderr.write(`\r${done} of ${seeds} schedules`);
    }
  };
  const parts = Array.from({ length: jobs }, (_, job) =>
    part(["--work", `${first + job},${jobs},${first + seeds},${shortens ? 1 : 0}`], onLine),
  );
  await Promise.all(parts);
  if (process.stderr.isTTY) process.stderr.write("\r");
  const minutes = (performance.now() - started) / 60_000;
  const perMinute = Math.round(done / minutes);
  found.sort((a, b) => a.seed - b.seed);
  if (asJson) console.log(JSON.stringify({ schedules: done, violations: found.length, perMinute, events, found }));
  else console.log(`${done} schedules, ${found.length} violations, ${perMinute} schedules a minute`);
  return found.length === 0 && done === seeds;
}

function report({ seed, violations, shortened }: Extract<Line, { seed: number }>): void {
  console.log(`seed ${seed}:`);
  for (const { invariant, text } of violations) console.log(`  ${invariant}: ${text}`);
  console.log(`  shorter: npm run simulate -- --trace --schedule '${lineOf(shortened)}'`);
}

/** One process, to its end. */
function part(args: readonly string[], onLine: (line: string) => void): Promise<void> {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  createInterface(child.stdout).on("line", onLine);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve();
      else reject(new Error(`a process of the simulation ended with code ${code}`));
    });
  });
}

/** @throws RangeError if the option is no whole number of at least `least`. */
function whole(name: string, text: string, least: number): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= least) return number;
  throw new RangeError(`--${name} is "${text}": a whole number of at least ${least} is needed`);
}

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string", default: "1000" },
      "first-seed": { type: "string", default: "1" },
      seed: { type: "string" },
      schedule: { type: "string" },
      trace: { type: "boolean", default: false },
      jobs: { type: "string", default: String(availableParallelism()) },
      "no-shorten": { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      work: { type: "string" },
    },
  });
  if (values.work !== undefined) {
    const [first = 0, step = 1, end = 0, shortens = 0] = values.work.split(",").map(Number);
    await work(first, step, end, shortens === 1);
    return true;
  }
  const { trace, json } = values;
  if (values.schedule !== undefined) return one(JSON.parse(values.schedule) as Schedule, trace, json);
  if (values.seed !== undefined) return one(drawSchedule(whole("seed", values.seed, 0)), trace, json);
  const first = whole("first-seed", values["first-seed"], 0);
  const seeds = whole("seeds", values.seeds, 1);
  const jobs = Math.min(whole("jobs", values.jobs, 1), seeds);
  return many(first, seeds, jobs, !values["no-shorten"], json);
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  console.error(error instanceof RangeError || error instanceof TypeError ? error.message : error);
  process.exitCode = 2;
}
