/** `webccl bench`: starts the ranks, gathers what they measured, prints nccl-tests' columns or JSON. */
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { InitOptions } from "../../bring-up/init-options.ts";
import type { DataType } from "../../types.ts";
import { launch } from "../launch/launch.ts";
import { circumstances, commandLine } from "../page/circumstances.ts";
import { describeFailure } from "../run.ts";
import { siblingModule } from "../sibling-module.ts";
import { benchPage } from "./page.ts";
import { typicalCost } from "./readback.ts";
import {
  type BenchReport,
  type BenchResult,
  type ReadbackCost,
  reportedOp,
  resultOf,
  slowest,
  statusLine,
  tableFooter,
  tableHeader,
  tableLine,
} from "./report.ts";
import { type BenchOp, benchRow } from "./table.ts";

/** A measurement; goes to every rank as JSON. */
export interface BenchConfig {
  collectives: readonly string[];
  ranks: number;
  minBytes: number;
  maxBytes: number;
  /** Each size is the one before times this. */
  factor: number;
  dtype: DataType;
  op: BenchOp;
  /** Untimed and timed runs per size. Default: as many as fit 0.4 s (the first size: 2 s), and 100, fewer above 512 KiB and on a GPU. */
  warmups?: number;
  iterations?: number;
  /** Ranks are threads of one process. */
  threads?: boolean | undefined;
  transport?: NonNullable<InitOptions["transport"]>;
  integrity?: NonNullable<InitOptions["integrity"]>;
  algorithm?: string;
  /** Host arrays, GPUBuffers, or CUDA memory. Default: "cpu". */
  device?: "cpu" | "webgpu" | "nccl";
}

/** A message from a rank to the launcher. */
export type WorkerMessage =
  | { type: "group"; device: string; transport: string; runtime: string }
  | { type: "start"; collective: string; count: number }
  | {
      type: "row";
      collective: string;
      count: number;
      timesUs: number[];
      costs: ReadbackCost[];
      wrong: number;
      extraRssBytes: number;
    }
  | { type: "error"; message: string };

/** Called as the measurement goes on. */
export interface BenchProgress {
  /** Rank 0 begins with a size. */
  onStart?(collective: string, count: number): void;
  /** All ranks are done with a size; `result` is the last of `report.results`. */
  onResult?(report: BenchReport, result: BenchResult): void;
}

/**
 * Measures every collective of `config` in one launch of `config.ranks` processes.
 * @throws Error if a rank fails, with that rank's message.
 */
export async function measure(config: BenchConfig, progress: BenchProgress = {}): Promise<BenchReport[]> {
  const reports: BenchReport[] = [];
  const errors: string[] = [];
  const pending = new Map<
    string,
    { timesUs: number[][]; costs: ReadbackCost[][]; wrong: number; extraRssBytes: number }
  >();
  let group = { device: "", transport: "", runtime: "" };

  const begin = (collective: string): BenchReport => {
    const op = reportedOp(collective, config.op);
    const dtype = benchRow(collective).factor === null ? null : config.dtype;
    const { ranks, algorithm = "auto", integrity = "auto" } = config;
    const report: BenchReport = { collective, ranks, dtype, op, ...group, integrity, algorithm, results: [] };
    reports.push(report);
    return report;
  };

  const onMessage = (rank: number, message: unknown) => {
    const told = message as WorkerMessage;
    if (told.type === "group") group = { device: told.device, transport: told.transport, runtime: told.runtime };
    else if (told.type === "error") errors.push(`rank ${rank}: ${told.message}`);
    else if (told.type === "start") {
      if (rank !== 0) return;
      if (reports.at(-1)?.collective !== told.collective) begin(told.collective);
      progress.onStart?.(told.collective, told.count);
    } else {
      const key = `${told.collective} ${told.count}`;
      const row = pending.get(key) ?? { timesUs: [], costs: [], wrong: 0, extraRssBytes: 0 };
      pending.set(key, row);
      row.timesUs.push(told.timesUs);
      row.costs.push(told.costs);
      row.wrong += told.wrong;
      row.extraRssBytes = Math.max(row.extraRssBytes, told.extraRssBytes);
      if (row.timesUs.length < config.ranks) return;
      const report = reports.find(({ collective }) => collective === told.collective) ?? begin(told.collective);
      const result = resultOf(benchRow(told.collective), told.count, slowest(row.timesUs), row.wrong, config);
      result.extraRssBytes = config.threads ? row.extraRssBytes / config.ranks : row.extraRssBytes;
      if (config.device === "webgpu") Object.assign(result, typicalCost(row.costs));
      report.results.push(result);
      progress.onResult?.(report, result);
    }
  };

  const script = fileURLToPath(siblingModule(import.meta.url, "./worker"));
  const result = await launch({
    ranks: config.ranks,
    threads: config.threads,
    script,
    args: [JSON.stringify(config)],
    onMessage,
  });
  const reason = describeFailure(result);
  if (reason) throw new BenchError([...new Set(errors), reason].join("\n"), result.exitCode);
  return reports;
}

/** The ranks did not get through the measurement. */
class BenchError extends Error {
  override readonly name = "BenchError";
  readonly exitCode: number;
  constructor(message: string, exitCode: number) {
    super(message);
    this.exitCode = exitCode;
  }
}

/**
 * Measures and prints. With `json`, one object per collective and nothing else on stdout; with `html`, a page in that file too.
 * @returns the exit code: 1 if any element was wrong.
 */
export async function bench(config: BenchConfig, { json, html }: { json: boolean; html?: string }): Promise<number> {
  const print = (text: string) => process.stdout.write(`${text}\n`);
  const status = statusLine();
  const reports = await measure(config, {
    onResult: (report, result) => {
      status("");
      if (json) return;
      if (report.results.length === 1) print(tableHeader(report));
      print(tableLine(report, result));
    },
    onStart: (collective, count) => status(`${collective}: ${count} elements …`),
  }).finally(() => status(""));
  if (json) for (const report of reports) print(JSON.stringify(report));
  else print(tableFooter(reports));
  if (html !== undefined) {
    await writeFile(html, benchPage(reports, circumstances(commandLine(["webccl", ...process.argv.slice(2)]))));
  }
  return reports.some((report) => report.results.some((result) => result.wrong > 0)) ? 1 : 0;
}
