/** `webccl trace a.json b.json …`: the verdict on the dumps of a job's ranks, and their exports. */
import { mkdirSync, readdirSync, readFileSync, realpathSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  mergeDumps,
  parseDump,
  type Trace,
  type TraceDump,
  toChromeTrace,
  toTorchPickles,
  verdictOf,
} from "../../trace/index.ts";
import { UsageError } from "../usage.ts";

/** Where exports go, and how the verdict is printed. */
export interface TraceOutputs {
  readonly chrome: string | undefined;
  readonly torch: string | undefined;
  readonly json: boolean;
}

/**
 * Prints what is wrong. Returns 0 if all is well, else 1.
 * @throws UsageError if a file is missing or is no dump, the dumps are not of one job, or an export cannot be written.
 */
export function traceFiles(paths: readonly string[], { chrome, torch, json }: TraceOutputs): number {
  const files = paths.flatMap(filesAt);
  const trace = readTrace(files);
  const verdict = verdictOf(trace);
  warnOfAge(trace);
  if (chrome !== undefined) writeChrome(chrome, files, trace);
  if (torch !== undefined) writeTorch(torch, trace);
  const ranks = trace.dumps.map(({ rank }) => rank);
  const sentence = json ? JSON.stringify({ ...verdict, ranks, missing: trace.missing }) : printable(verdict.sentence);
  process.stdout.write(`${sentence}\n`);
  return verdict.kind === "healthy" ? 0 : 1;
}

/** Ranks of one run meet before they leave dumps. A rank that joined later began later: its group is of another epoch. */
function warnOfAge({ dumps, epoch }: Trace): void {
  const taken = ({ clockZero, takenMs }: TraceDump) => clockZero + takenMs;
  const begin = Math.max(...dumps.map(({ clockZero }) => clockZero));
  const old = dumps.filter((dump) => taken(dump) < begin);
  if (old.length === 0 || epoch > 0) return;
  const ranks = old.map((dump) => `${dump.rank} (${new Date(taken(dump)).toISOString()})`).join(", ");
  const subject = old.length === 1 ? `the dump of rank ${ranks} is` : `the dumps of ranks ${ranks} are`;
  process.stderr.write(
    `webccl trace: ${subject} older than the process of another rank, hence of an earlier run unless the clocks of the ` +
      "hosts differ: take an empty folder for each run\n",
  );
}

/** Names and messages in a dump are another process's, and may have what a terminal takes for commands. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) =>
    JSON.stringify(character)
      .slice(1, -1)
      .replace(/^\p{Cc}$/u, "?"),
  );
}

function writeChrome(path: string, files: readonly string[], trace: Trace): void {
  const there = statSync(path, { throwIfNoEntry: false }) && realpathSync(path);
  if (files.some((file) => realpathSync(file) === there)) {
    throw new UsageError(`--chrome ${path} is one of the dumps: choose another file`);
  }
  written(`--chrome ${path}`, () => writeFileSync(path, JSON.stringify(toChromeTrace(trace))));
}

/** The analyser reads all ranks that lie in the folder, so those of another job are not left there. */
function writeTorch(folder: string, trace: Trace): void {
  const where = `--torch ${folder}`;
  written(where, () => mkdirSync(folder, { recursive: true }));
  const there = readdirSync(folder).find((name) => /^rank_\d+$/.test(name));
  if (there) throw new UsageError(`${where}: ${there} is there already: choose a new folder, or remove it`);
  for (const [rank, bytes] of toTorchPickles(trace)) {
    written(where, () => writeFileSync(join(folder, `rank_${rank}`), bytes));
  }
}

function written(where: string, write: () => void): void {
  try {
    write();
  } catch (error) {
    throw new UsageError(`${where} cannot be written: ${(error as Error).message}`);
  }
}

function readTrace(files: readonly string[]): Trace {
  try {
    return mergeDumps(files.map(readDump));
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) throw new UsageError(error.message);
    throw error;
  }
}

/** The file itself, or the dumps in a folder. */
function filesAt(path: string): string[] {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) throw new UsageError(`no such file: ${path}`);
  if (!stat.isDirectory()) return [path];
  const names = readdirSync(path);
  const files = names.filter((name) => name.endsWith(".json"));
  if (files.length === 0) throw new UsageError(`there is no dump (*.json) in ${path}: ${remedyIn(path, names)}`);
  return files.sort().map((name) => join(path, name));
}

/** How to learn more of a job that has left no dump in the folder. */
function remedyIn(path: string, names: readonly string[]): string {
  if (names.some((name) => name.endsWith(".sock")))
    return `ranks that run have sockets there, which webccl trace --live ${path} asks. They leave dumps when their group dies`;
  return "a rank leaves one with WEBCCL_TRACE_DIR when its group dies. A MismatchError or the end of a program leaves none";
}

function readDump(path: string): TraceDump {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new UsageError(`${path} is no JSON: ${(error as Error).message}`);
  }
  return parseDump(value, path);
}
