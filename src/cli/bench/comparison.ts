/**
 * `webccl bench coalesced` and `webccl bench persistent`: two ways to the same result, which take turns within one run. A busy
 * machine shifts both, so the ratio of neighbouring turns is what counts.
 */
import { fileURLToPath } from "node:url";
import type { InitOptions } from "../../bring-up/init-options.ts";
import { launch } from "../launch/launch.ts";
import { describeFailure } from "../run.ts";
import { siblingModule } from "../sibling-module.ts";
import { medianOf } from "./report.ts";

/** Which two ways are compared. */
export type Comparison = "coalesced" | "persistent";

/** The first way and the second, in a user's words. */
const COMPARISONS: Readonly<Record<Comparison, readonly [string, string]>> = {
  coalesced: ["allReduceCoalesced of 100 tensors", "allReduce of one tensor as long as all"],
  persistent: ["start() of a persistent allReduce", "allReduce"],
};

/** A measurement; goes to every rank as JSON. */
export interface ComparisonConfig {
  comparison: Comparison;
  ranks: number;
  /** Bytes of all tensors of one call, per line. */
  sizes: readonly number[];
  /** Timed turns of each way. */
  turns: number;
  threads?: boolean | undefined;
  transport?: NonNullable<InitOptions["transport"]>;
  /** Host arrays or GPUBuffers. */
  device: "cpu" | "webgpu";
}

/** One line: microseconds of one call are medians over the turns, as is the ratio of the first way to the second. */
interface ComparisonResult {
  bytes: number;
  firstUs: number;
  secondUs: number;
  ratio: number;
  /** Elements that differ from the reference, over all ranks. */
  wrong: number;
}

/** The object that `--json` prints. */
interface ComparisonReport {
  comparison: Comparison;
  first: string;
  second: string;
  ranks: number;
  device: string;
  transport: string;
  runtime: string;
  results: ComparisonResult[];
}

/** A message from a rank to the launcher. */
export type ComparisonMessage =
  | { type: "place"; device: string; transport: string; runtime: string }
  | { type: "turns"; bytes: number; firstUs: number[]; secondUs: number[] }
  | { type: "wrong"; bytes: number; wrong: number }
  | { type: "error"; message: string };

/**
 * Measures in one launch of `config.ranks` ranks; the times are rank 0's.
 * @throws Error if a rank fails, with that rank's message.
 */
async function compare(config: ComparisonConfig): Promise<ComparisonReport> {
  const { comparison, ranks } = config;
  const [first, second] = COMPARISONS[comparison];
  const place = { device: "", transport: "", runtime: "" };
  const wrongOf = new Map<number, number>();
  const results: ComparisonResult[] = [];
  const errors: string[] = [];
  const onMessage = (rank: number, message: unknown) => {
    const told = message as ComparisonMessage;
    if (told.type === "place") {
      Object.assign(place, { device: told.device, transport: told.transport, runtime: told.runtime });
    } else if (told.type === "error") errors.push(`rank ${rank}: ${told.message}`);
    else if (told.type === "wrong") wrongOf.set(told.bytes, (wrongOf.get(told.bytes) ?? 0) + told.wrong);
    else results.push(resultOf(told));
  };
  const script = fileURLToPath(siblingModule(import.meta.url, "./comparison-worker"));
  const result = await launch({ ranks, threads: config.threads, script, args: [JSON.stringify(config)], onMessage });
  const reason = describeFailure(result);
  if (reason) throw new Error([...new Set(errors), reason].join("\n"));
  for (const line of results) line.wrong = wrongOf.get(line.bytes) ?? 0;
  return { comparison, first, second, ranks, ...place, results };
}

function resultOf({ bytes, firstUs, secondUs }: { bytes: number; firstUs: number[]; secondUs: number[] }) {
  const ratio = medianOf(firstUs.map((time, turn) => time / (secondUs[turn] ?? Number.NaN)));
  return { bytes, firstUs: medianOf(firstUs), secondUs: medianOf(secondUs), ratio, wrong: 0 };
}

/** Measures and prints. @returns the exit code: 1 if any element was wrong. */
export async function benchComparison(config: ComparisonConfig, { json }: { json: boolean }): Promise<number> {
  const report = await compare(config);
  const { results, ranks, runtime, device, transport, first, second } = report;
  const lines = results.map(({ bytes, firstUs, secondUs, ratio, wrong }) =>
    cells([String(bytes), firstUs.toFixed(2), secondUs.toFixed(2), ratio.toFixed(2), String(wrong)]),
  );
  const table = [
    `# ${config.comparison} · ${ranks} ranks · ${runtime} · ${device} · ${transport}`,
    `# first: ${first}; second: ${second}`,
    `#${cells(["size (B)", "first (us)", "second (us)", "ratio", "#wrong"]).slice(1)}`,
    ...lines,
  ];
  process.stdout.write(`${json ? JSON.stringify(report) : table.join("\n")}\n`);
  return results.some(({ wrong }) => wrong > 0) ? 1 : 0;
}

const cells = (texts: readonly string[]) => texts.map((text) => text.padStart(13)).join("");
