/** Sizes, statistics and the table of `webccl bench`: pure functions of the measured times. */
import { bytesPerElement, type DataType } from "../../types.ts";
import type { KernelRow } from "../kernels/bench-kernels.ts";
import { type BenchOp, type BenchRow, blockCount, REDUCING, ROOTED, reportedBytes } from "./table.ts";

/** The cost of readbacks to an operation on GPUBuffers, on one rank; in a report, the medians of the slowest rank's. */
export interface ReadbackCost {
  mapAsyncCalls: number;
  /** The time in which a readback was awaited and none of the rank's frames was on the way. */
  mapWaitUs: number;
  /** That, without the time in which kernels ran; null where the device has no timestamp-query. */
  exposedReadbackUs: number | null;
}

/** One line of the table. Bandwidths are of the median time, in 10^9 bytes per second; readbacks are GPUBuffers'. */
export interface BenchResult extends Partial<ReadbackCost> {
  /** The larger of a rank's input and output. */
  bytes: number;
  /** Elements of one block: the whole tensor, or one rank's share where every rank has its own. */
  count: number;
  timeUs: { min: number; median: number; p99: number; max: number };
  algBwGBs: number;
  busBwGBs: number;
  /** Elements that differ from the reference, over all ranks. */
  wrong: number;
  /**
   * The most memory (RSS) a rank's process has taken so far above what it took when its group was there, the tensors of the
   * benchmark included; for threads, a rank's share of their process's.
   */
  extraRssBytes?: number;
}

/** The object that `--json` prints. */
export interface BenchReport {
  collective: string;
  ranks: number;
  /** Null for barrier. */
  dtype: DataType | null;
  /** Null for a collective that does not reduce. */
  op: BenchOp | null;
  /** Who reduces: "cpu", "webgpu", or NCCL's version and device. */
  device: string;
  transport: string;
  runtime: string;
  /** Whether frames were to have checksums: "on", "off" or "auto". */
  integrity: string;
  /** The algorithm that was asked for, or "auto". */
  algorithm: string;
  results: BenchResult[];
}

/** The sizes to measure, in bytes, without those that round down to the same count. */
export function sizesOf(
  range: { minBytes: number; maxBytes: number; factor: number; dtype: DataType; ranks: number },
  row: BenchRow,
): number[] {
  const sizes = new Map<number, number>();
  for (let bytes = range.minBytes; bytes <= range.maxBytes; bytes *= range.factor) {
    const count = blockCount(row, bytes, bytesPerElement(range.dtype), range.ranks);
    if (!sizes.has(count)) sizes.set(count, bytes);
  }
  return [...sizes.values()];
}

/** The line for `timesUs`, where each entry is one run's time on the rank that was slowest in it. */
export function resultOf(
  row: BenchRow,
  count: number,
  timesUs: readonly number[],
  wrong: number,
  { dtype, ranks }: { dtype: DataType; ranks: number },
): BenchResult {
  const at = (quantile: number) => quantileOf(timesUs, quantile);
  const timeUs = { min: at(0), median: at(0.5), p99: at(0.99), max: at(1) };
  const bytes = reportedBytes(row, count, bytesPerElement(dtype), ranks);
  const algBwGBs = bytes / (timeUs.median * 1000);
  return { bytes, count, timeUs, algBwGBs, busBwGBs: algBwGBs * (row.factor?.(ranks) ?? 0), wrong };
}

function quantileOf(values: readonly number[], quantile: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const value = sorted[Math.max(0, Math.ceil(quantile * sorted.length) - 1)];
  if (value === undefined) throw new RangeError("a quantile of no values");
  return value;
}

/** The middle value, the lower of two. */
export const medianOf = (values: readonly number[]): number => quantileOf(values, 0.5);

/** One run's time on the slowest rank, for every run: `perRank[r][i]` is rank r's time of run i. */
export function slowest(perRank: readonly (readonly number[])[]): readonly number[] {
  return perRank.reduce((worst, times) => worst.map((time, run) => Math.max(time, times[run] ?? Number.NaN)));
}

/** The lines above the table, nccl-tests' columns. */
export function tableHeader(report: BenchReport): string {
  const { collective, ranks, runtime, device, transport, integrity, algorithm } = report;
  return [
    `# ${collective} · ${ranks} ranks · ${runtime} · ${device} · ${transport} · integrity ${integrity} · algorithm ${algorithm}`,
    `#${line(["size", "count", "type", "redop", "root", "time", "algbw", "busbw", "#wrong"]).slice(1)}`,
    `#${line(["(B)", "(elements)", "", "", "", "(us)", "(GB/s)", "(GB/s)", ""]).slice(1)}`,
  ].join("\n");
}

/** One line of the table. The time is the median. */
export function tableLine(report: BenchReport, result: BenchResult): string {
  return line([
    String(result.bytes),
    String(result.count),
    report.dtype ?? "-",
    report.op ?? "none",
    ROOTED.has(report.collective) ? "0" : "-1",
    fixed(result.timeUs.median),
    result.algBwGBs.toFixed(3),
    result.busBwGBs.toFixed(3),
    String(result.wrong),
  ]);
}

/** The lines below the table. */
export function tableFooter(reports: readonly BenchReport[]): string {
  const results = reports.flatMap((report) => report.results);
  const wrong = results.reduce((sum, result) => sum + result.wrong, 0);
  const moving = results.filter((result) => result.bytes > 0);
  const mean = moving.reduce((sum, result) => sum + result.busBwGBs, 0) / Math.max(1, moving.length);
  return [
    `# Out of bounds values : ${wrong} ${wrong === 0 ? "OK" : "FAILED"}`,
    `# Avg bus bandwidth    : ${mean.toFixed(4)} GB/s`,
  ].join("\n");
}

/** The line above the kernels, and one line per dtype and op. Rates are GB/s of bytes read and written. */
export function kernelLine(row: KernelRow | null): string {
  const cells = row
    ? [row.dtype, row.op, row.plainGBs, row.wasmGBs, row.copiedGBs, row.memcpyGBs, row.ratio]
    : ["# type", "redop", "plain", "wasm", "copied", "memcpy", "ratio"];
  return cells.map((cell) => (typeof cell === "number" ? cell.toFixed(2) : cell).padStart(12)).join("");
}

/** The op that a report of `collective` names. */
export function reportedOp(collective: string, op: BenchOp): BenchOp | null {
  return REDUCING.has(collective) ? op : null;
}

const WIDTHS = [12, 12, 7, 8, 6, 11, 9, 9, 8] as const;

const line = (cells: readonly string[]) =>
  cells
    .map((cell, i) => cell.padStart(WIDTHS[i] ?? 0))
    .join("")
    .trimEnd();

/** Five significant places or so, as nccl-tests prints times. */
const fixed = (value: number) => value.toFixed(value < 100 ? 2 : value < 1000 ? 1 : 0);

/** A line on a terminal's stderr that the next call overwrites; nothing where stderr is no terminal. */
export function statusLine(): (text: string) => void {
  if (!process.stderr.isTTY) return () => {};
  return (text) => void process.stderr.write(`\r\u001b[K${text}`);
}
