/** `webccl bench`: its flags, and which of them a measurement of kernels has. */
import type { CAC } from "cac";
import { resolveReduceOp } from "../../reduce-op.ts";
import { DATA_TYPES, type DataType } from "../../types.ts";
import type { BenchConfig } from "../bench/bench.ts";
import type { Comparison } from "../bench/comparison.ts";
import { BENCH_TABLE, type BenchOp } from "../bench/table.ts";
import {
  checkCores,
  choiceFlag,
  type Flags,
  integerFlag,
  outputFlag,
  sizeFlag,
  textFlag,
  UsageError,
} from "../usage.ts";

const OPS = ["sum", "avg", "product", "min", "max", "band", "bor", "bxor"] as const satisfies BenchOp[];
const TRANSPORTS = ["auto", "shared-memory", "mapped-memory", "shared-file", "websocket", "hub"] as const;
const INTEGRITY = ["on", "off"] as const;
const DEVICES = ["cpu", "webgpu", "nccl"] as const;
const COMPARABLE = ["coalesced", "persistent"] as const satisfies Comparison[];
const MEASURABLE = [...BENCH_TABLE.map((row) => row.name), ...COMPARABLE, "kernels"];

/** Adds the command to `cli`. */
export function benchCommand(cli: CAC): void {
  cli
    .command("bench <collective>", `Measure and check one of ${MEASURABLE.join(", ")}`)
    .option("-n, --ranks <count>", "Number of processes, 2 if absent")
    .option("-b, --min-bytes <size>", "Smallest size, 64 if absent")
    .option("-e, --max-bytes <size>", "Largest size, 64M if absent")
    .option("-f, --factor <number>", "From one size to the next, 4 if absent")
    .option("-d, --dtype <type>", `${DATA_TYPES.join(", ")}; f32 if absent`)
    .option("-o, --op <op>", `${OPS.join(", ")}; sum if absent`)
    .option("-w, --warmup <count>", "Untimed runs per size, 0.4 s of them if absent")
    .option("-i, --iterations <count>", "Timed runs per size, 100 if absent, fewer of long ones")
    .option(
      "--device <name>",
      `${DEVICES.join(", ")}: host arrays, GPUBuffers or CUDA memory; cpu if absent, kernels: both`,
    )
    .option("--html <file>", "Write a page with the figures, too")
    .option("--threads", "Ranks are threads of one process, which share memory")
    .option("--transport <name>", `${TRANSPORTS.join(", ")}`)
    .option(
      "--integrity <choice>",
      `${INTEGRITY.join(", ")}: checksums of frames, off between ranks of one host if absent`,
    )
    .option("--algorithm <name>", "Run this algorithm instead of the selected one")
    .option("--json", "Print one JSON object")
    .option("--deno", "kernels: also the GPU as Deno has it")
    .option("--browser", "kernels: also the GPU as Chromium has it")
    .action(runBench);
}

/** The flags that both kinds of measurement have. */
interface CommonFlags {
  json: boolean;
  dtype: DataType | undefined;
  op: (typeof OPS)[number] | undefined;
  device: (typeof DEVICES)[number] | undefined;
}

async function runBench(collective: string, flags: Flags): Promise<number> {
  const name = choiceFlag("bench", collective, MEASURABLE);
  const dtype = choiceFlag("-d", flags.d, DATA_TYPES);
  const op = choiceFlag("-o", flags.o, OPS);
  try {
    resolveReduceOp(op ?? "sum", dtype ?? "f32");
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const device = choiceFlag("--device", flags.device, DEVICES);
  const common = { json: flags.json === true, dtype, op, device };
  const comparison = COMPARABLE.find((one) => one === name);
  if (comparison) return runComparison(comparison, flags, common);
  return name === "kernels" ? runKernels(flags, common) : runCollective(name, flags, common);
}

async function runKernels(flags: Flags, { json, dtype, op, device }: CommonFlags): Promise<number> {
  const html = outputFlag("--html", flags.html);
  if (device === "nccl") throw new UsageError("bench kernels has no --device nccl: NCCL's kernels are its own");
  const bytes = sizeFlag("-b", flags.b);
  const options = {
    ...(bytes === undefined ? {} : { bytes }),
    ...(dtype === undefined ? {} : { dtypes: [dtype] }),
    ...(op === undefined ? {} : { ops: [op] }),
    ...(device === undefined ? {} : { device }),
    deno: flags.deno === true,
    browser: flags.browser === true,
  };
  const { kernels } = await import("../kernels/kernels.ts");
  return kernels(options, { json, ...(html === undefined ? {} : { html }) });
}

/** The number of ranks, of which a measurement needs no more than the machine can run. */
function ranksOf(flags: Flags): number {
  const ranks = integerFlag("-n", flags.n, 1) ?? 2;
  if (flags.threads !== true) checkCores(ranks, "or --threads");
  return ranks;
}

/** The flags that a comparison has no use for. */
const NOT_COMPARED = ["d", "o", "f", "w", "e", "integrity", "algorithm", "html", "deno", "browser"];

async function runComparison(comparison: Comparison, flags: Flags, { json, device }: CommonFlags): Promise<number> {
  const useless = NOT_COMPARED.find((flag) => flags[flag] !== undefined);
  if (useless) throw new UsageError(`bench ${comparison} has no ${useless.length > 1 ? "--" : "-"}${useless}`);
  if (device === "nccl") throw new UsageError(`bench ${comparison} has no --device nccl`);
  const bytes = sizeFlag("-b", flags.b);
  const transport = choiceFlag("--transport", flags.transport, TRANSPORTS);
  const { benchComparison } = await import("../bench/comparison.ts");
  return benchComparison(
    {
      comparison,
      ranks: ranksOf(flags),
      sizes: bytes === undefined ? (comparison === "coalesced" ? [6_400] : [64, 4_096]) : [bytes],
      turns: integerFlag("-i", flags.i, 1) ?? 100,
      threads: flags.threads === true,
      ...(transport === undefined ? {} : { transport }),
      device: device ?? "cpu",
    },
    { json },
  );
}

async function runCollective(name: string, flags: Flags, common: CommonFlags): Promise<number> {
  for (const flag of ["deno", "browser"]) {
    if (flags[flag] !== undefined) throw new UsageError(`--${flag} is for bench kernels`);
  }
  const config = collectiveConfig(name, flags, common);
  const html = outputFlag("--html", flags.html);
  const { bench } = await import("../bench/bench.ts");
  return bench(config, { json: common.json, ...(html === undefined ? {} : { html }) });
}

/** @throws UsageError if a flag has no use or a wrong value. */
function collectiveConfig(name: string, flags: Flags, { dtype = "f32", op = "sum", device }: CommonFlags): BenchConfig {
  const minBytes = sizeFlag("-b", flags.b) ?? 64;
  const maxBytes = sizeFlag("-e", flags.e) ?? Math.max(minBytes, 64 * 1024 ** 2);
  if (minBytes < 1) throw new UsageError("-b must be at least 1 byte");
  if (maxBytes < minBytes) throw new UsageError(`-e (${maxBytes} bytes) is less than -b (${minBytes} bytes)`);
  const warmups = integerFlag("-w", flags.w, 0);
  const iterations = integerFlag("-i", flags.i, 1);
  const transport = choiceFlag("--transport", flags.transport, TRANSPORTS);
  const integrity = choiceFlag("--integrity", flags.integrity, INTEGRITY);
  const algorithm = textFlag("--algorithm", flags.algorithm);
  return {
    collectives: [name],
    ranks: ranksOf(flags),
    minBytes,
    maxBytes,
    factor: integerFlag("-f", flags.f, 2) ?? 4,
    dtype,
    op,
    threads: flags.threads === true,
    ...(warmups === undefined ? {} : { warmups }),
    ...(iterations === undefined ? {} : { iterations }),
    ...(transport === undefined ? {} : { transport }),
    ...(integrity === undefined ? {} : { integrity }),
    ...(algorithm === undefined ? {} : { algorithm }),
    ...(device === undefined ? {} : { device }),
  };
}
