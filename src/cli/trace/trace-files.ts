/** `webccl trace a.json b.json …`: the verdict on the dumps of a job's ranks, and their exports. */
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
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
 * @throws UsageError if a file is missing or is no dump, or the dumps are not of one job.
 */
export function traceFiles(paths: readonly string[], { chrome, torch, json }: TraceOutputs): number {
  const trace = readTrace(paths);
  const verdict = verdictOf(trace);
  if (chrome !== undefined) writeFileSync(chrome, JSON.stringify(toChromeTrace(trace)));
  if (torch !== undefined) {
    mkdirSync(torch, { recursive: true });
    for (const [rank, bytes] of toTorchPickles(trace)) writeFileSync(join(torch, `rank_${rank}`), bytes);
  }
  const ranks = trace.dumps.map(({ rank }) => rank);
  process.stdout.write(`${json ? JSON.stringify({ ...verdict, ranks, missing: trace.missing }) : verdict.sentence}\n`);
  return verdict.kind === "healthy" ? 0 : 1;
}

function readTrace(paths: readonly string[]): Trace {
  try {
    return mergeDumps(paths.flatMap(filesAt).map(readDump));
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
  const files = readdirSync(path).filter((name) => name.endsWith(".json"));
  if (files.length === 0) throw new UsageError(`there is no dump (*.json) in ${path}`);
  return files.sort().map((name) => join(path, name));
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
