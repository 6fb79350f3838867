#!/usr/bin/env node
/** The `webccl` command: its subcommands and flags. Each subcommand's code is loaded when it is called. */
import { readFileSync } from "node:fs";
import { type CAC, type Command, cac } from "cac";
import { WebcclError } from "../errors.ts";
import { resolveReduceOp } from "../reduce-op.ts";
import { DATA_TYPES } from "../types.ts";
import { BENCH_TABLE, type BenchOp } from "./bench/table.ts";
import { splitRunArguments } from "./run.ts";
import { choiceFlag, didYouMean, type FlagValue, integerFlag, sizeFlag, textFlag, UsageError } from "./usage.ts";

const OPS = ["sum", "avg", "product", "min", "max", "band", "bor", "bxor"] as const satisfies BenchOp[];
const TRANSPORTS = ["auto", "shared-memory", "shared-file", "websocket", "hub"] as const;
const DEVICES = ["cpu", "webgpu", "nccl"] as const;
const MEASURABLE = [...BENCH_TABLE.map((row) => row.name), "kernels"];

type Flags = Readonly<Record<string, FlagValue>>;

/** Runs the command line `argv` (without node and script) and returns the exit code. */
async function main(argv: readonly string[]): Promise<number> {
  const cli = cac("webccl");
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  let scriptArgs: string[] = [];

  cli
    .command("run <script>", "Run a program as several ranks on this host; a rank's death ends the others")
    .usage(
      "run -n <ranks> [--threads | --deno <count> --browsers <count>] [--hub <url>] <script> [arguments of the script]",
    )
    .option("-n, --ranks <count>", "Number of ranks")
    .option("--threads", "Start threads of one process, which share memory, instead of processes")
    .option("--deno <count>", "How many of them run in Deno")
    .option("--browsers <count>", "How many of them run in a browser")
    .option("--hub <url>", "Meet at this hub instead of in rank 0")
    .action(async (script: string, flags: Flags) => {
      const { run } = await import("./run.ts");
      const ranks = integerFlag("-n", flags.n, 1);
      if (ranks === undefined)
        throw new UsageError("-n is missing; flags go before the script: webccl run -n 4 script.ts");
      return run({
        ranks,
        deno: integerFlag("--deno", flags.deno, 0),
        browsers: integerFlag("--browsers", flags.browsers, 0),
        threads: flags.threads === true,
        hub: textFlag("--hub", flags.hub),
        script,
        args: scriptArgs,
      });
    });

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
    .option("--html <file>", "kernels: write a page with the plot")
    .option("--threads", "Ranks are threads of one process, which share memory")
    .option("--transport <name>", `${TRANSPORTS.join(", ")}`)
    .option("--algorithm <name>", "Run this algorithm instead of the selected one")
    .option("--json", "Print one JSON object")
    .option("--deno", "kernels: also the GPU as Deno has it")
    .option("--browser", "kernels: also the GPU as Chromium has it")
    .action(benchAction);

  for (const [name, description, load] of [
    [
      "hub",
      "Serve a hub, at which ranks of several hosts and browsers meet",
      async () => (await import("./hub.ts")).hub,
    ],
    ["demo", "Serve a page: every tab that opens it becomes a rank", async () => (await import("./demo.ts")).demo],
  ] as const) {
    cli
      .command(name, description)
      .option("--host <address>", "Interface to bind, 127.0.0.1 if absent")
      .option("--port <number>", "29500 if absent; 0 picks a free one")
      .option("--token-file <file>", "File with the group's secret; else WEBCCL_TOKEN")
      .option("--origin <url>", "Let pages of this origin in (repeatable)")
      .option("--allow-host <name>", "Accept this Host header (repeatable)")
      .option("--cert <file>", "TLS certificate, PEM")
      .option("--key <file>", "TLS key, PEM")
      .option("--insecure", "Allow a bind beyond loopback without token and TLS")
      .action(async (flags: Flags) => (await load())(flags));
  }

  cli
    .command("info", "What is here, and what is missing with the fix")
    .option("--json", "Print one JSON object")
    .action(async (flags: Flags) => (await import("./info/info.ts")).info({ version, json: flags.json === true }));

  cli.help();
  cli.version(version);

  let words = [...argv];
  if (words[0] === "run") {
    const [own, rest] = splitRunArguments(words.slice(1), valueFlags(cli, "run"));
    words = ["run", ...own];
    scriptArgs = rest;
  }
  const { options } = cli.parse(["node", "webccl", ...words], { run: false });
  if (options.help || (options.version && !cli.matchedCommand)) return 0;
  if (!cli.matchedCommand) {
    if (words[0] === undefined) {
      cli.outputHelp();
      return 2;
    }
    const names = cli.commands.map((command) => command.name);
    if (words[0].startsWith("-")) throw new UsageError(`unknown flag ${words[0]}`);
    throw new UsageError(`unknown command ${words[0]}${didYouMean(words[0], names)}`);
  }
  checkFlags(cli, cli.matchedCommand);
  return (await cli.runMatchedCommand()) as number;
}

async function benchAction(collective: string, flags: Flags): Promise<number> {
  const name = choiceFlag("bench", collective, MEASURABLE)!;
  const json = flags.json === true;
  const givenDtype = choiceFlag("-d", flags.d, DATA_TYPES);
  const givenOp = choiceFlag("-o", flags.o, OPS);
  const [dtype, op] = [givenDtype ?? "f32", givenOp ?? "sum"];
  try {
    resolveReduceOp(op, dtype);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const device = choiceFlag("--device", flags.device, DEVICES);
  const html = textFlag("--html", flags.html);
  for (const [flag, value] of [
    ["--html", flags.html],
    ["--deno", flags.deno],
    ["--browser", flags.browser],
  ] as const) {
    if (value !== undefined && name !== "kernels") throw new UsageError(`${flag} is for bench kernels`);
  }
  if (name === "kernels") {
    if (device === "nccl") throw new UsageError("bench kernels has no --device nccl: NCCL's kernels are its own");
    const bytes = sizeFlag("-b", flags.b);
    const only = {
      ...(bytes === undefined ? {} : { bytes }),
      ...(givenDtype === undefined ? {} : { dtypes: [givenDtype] }),
      ...(givenOp === undefined ? {} : { ops: [givenOp] }),
    };
    const { kernels } = await import("./kernels/kernels.ts");
    return kernels(
      {
        ...only,
        ...(device === undefined ? {} : { device }),
        deno: flags.deno === true,
        browser: flags.browser === true,
      },
      { json, ...(html === undefined ? {} : { html }) },
    );
  }
  const minBytes = sizeFlag("-b", flags.b) ?? 64;
  const maxBytes = sizeFlag("-e", flags.e) ?? Math.max(minBytes, 64 * 1024 ** 2);
  if (minBytes < 1) throw new UsageError("-b must be at least 1 byte");
  if (maxBytes < minBytes) throw new UsageError(`-e (${maxBytes} bytes) is less than -b (${minBytes} bytes)`);
  const warmups = integerFlag("-w", flags.w, 0);
  const iterations = integerFlag("-i", flags.i, 1);
  const transport = choiceFlag("--transport", flags.transport, TRANSPORTS);
  const algorithm = textFlag("--algorithm", flags.algorithm);
  const config = {
    collectives: [name],
    ranks: integerFlag("-n", flags.n, 1) ?? 2,
    minBytes,
    maxBytes,
    factor: integerFlag("-f", flags.f, 2) ?? 4,
    dtype,
    op,
    threads: flags.threads === true,
    ...(warmups === undefined ? {} : { warmups }),
    ...(iterations === undefined ? {} : { iterations }),
    ...(transport === undefined ? {} : { transport }),
    ...(algorithm === undefined ? {} : { algorithm }),
    ...(device === undefined ? {} : { device }),
  };
  const { bench } = await import("./bench/bench.ts");
  return bench(config, { json });
}

/** @throws UsageError at the first flag that `command` does not have. */
function checkFlags(cli: CAC, command: Command): void {
  const known = [...command.options, ...cli.globalCommand.options];
  for (const name of Object.keys(cli.options)) {
    if (name === "--" || known.some((option) => option.names.includes(name))) continue;
    const dashed = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    const flag = `${dashed.length > 1 ? "--" : "-"}${dashed}`;
    const spellings = known.flatMap((option) => option.rawName.match(/--?[a-z-]+/g) ?? []);
    throw new UsageError(`unknown flag ${flag} for ${command.name}${didYouMean(flag, spellings)}`);
  }
}

/** Spellings of the flags of `name` that take the next word. */
function valueFlags(cli: CAC, name: string): ReadonlySet<string> {
  const command = cli.commands.find((candidate) => candidate.name === name)!;
  const withValue = command.options.filter((option) => !option.isBoolean);
  return new Set(withValue.flatMap((option) => option.rawName.match(/--?[a-z][a-z-]*/g) ?? []));
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const failure = error as Error & { exitCode?: number };
  const isUsage = failure instanceof UsageError || failure.name === "CACError";
  process.stderr.write(
    `webccl: ${isUsage || failure.exitCode !== undefined || failure instanceof WebcclError ? failure.message : failure.stack}\n`,
  );
  if (isUsage) process.stderr.write("webccl --help lists commands, webccl <command> --help their flags\n");
  process.exitCode = isUsage ? 2 : (failure.exitCode ?? 1);
}
