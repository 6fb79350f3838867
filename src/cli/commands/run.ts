/** `webccl run`: its flags, and where they end. */
import type { CAC, Command } from "cac";
import {
  checkCores,
  type Flags,
  type FlagValue,
  integerFlag,
  MOST_PER_CORE,
  spellingsOf,
  textFlag,
  UsageError,
} from "../usage.ts";

/**
 * Adds the command to `cli`, and returns those of the words `argv` that are webccl's to parse: of `webccl run`, the words
 * behind the script are the script's.
 * @throws UsageError if it is `run` and there is no script.
 */
export function runCommand(cli: CAC, argv: readonly string[]): readonly string[] {
  const command = cli
    .command(
      "run <script>",
      "Run a program as several ranks; a rank's death ends the others, unless --no-kill is given",
    )
    .usage(
      "run -n <ranks> [--threads | --bun <count> --deno <count> --browsers <count>] [--hub <url>] [--max-restarts <count>] [--no-kill] [--log-dir <folder> [--tee]] [--nnodes <hosts> --node-rank <number> --rdzv-endpoint <host:port>] <script> [arguments of the script]",
    )
    .option("-n, --ranks <count>", "Number of ranks; --nproc-per-node, torchrun's word, is the same")
    .option("--oversubscribe", `Start more than ${MOST_PER_CORE} processes for each core all the same`)
    .option("--verbose", "Print all of an error that ends a rank, instead of one line")
    .option("--threads", "Start threads of one process, which share memory, instead of processes")
    .option("--bun <count>", "How many of them run in Bun; all that are no others', if this command does")
    .option("--deno <count>", "How many of them run in Deno")
    .option("--browsers <count>", "How many of them run in a browser")
    .option("--hub <url>", "Meet at this hub instead of in rank 0")
    .option(
      "--max-restarts <count>",
      "Start ranks again that end badly, so often in all: they join the group that runs",
    )
    .option(
      "--no-kill",
      "Let the others go on when a rank ends badly: they shrink(), and the exit code is 0 if one ends well; --enable-recovery, Open MPI's word, is the same",
    )
    .option("--log-dir <folder>", "Keep what each rank prints in files of this folder, in place of printing it")
    .option("--tee", "--log-dir: print it, too")
    .option("--nnodes <hosts>", "Number of hosts, each with -n ranks; 1:4 begins with one and lets up to four in")
    .option("--node-rank <number>", "--nnodes: the number of this host, from 0 on")
    .option(
      "--rdzv-endpoint <host:port>",
      "--nnodes: where host 0 keeps the hub at which all meet; wss://host:port if it has TLS",
    )
    .option("--rdzv-id <name>", "--nnodes: the job's name, run if absent")
    .option("--cert <file>", "--nnodes: TLS certificate of that hub, PEM")
    .option("--key <file>", "--nnodes: TLS key of that hub, PEM")
    .option("--insecure", "--nnodes: allow that hub beyond loopback without token and TLS")
    .option("--standalone", "A job of this host alone, as it is without --nnodes");
  const [name, ...words] = argv;
  const [own, args] = name === "run" ? splitRunArguments(words, valueFlags(command)) : [words.flatMap(asDeclared), []];
  command.action((script: string, flags: Flags) => start(script, args, flags));
  return name === undefined ? [] : [name, ...own];
}

/**
 * Runs `script` with the words `args` as the flags say, and returns the exit code.
 * @throws UsageError if a flag is missing or wrong.
 */
async function start(script: string, args: readonly string[], flags: Flags): Promise<number> {
  const { run } = await import("../run.ts");
  const { hostsOf } = await import("../launch/hosts.ts");
  const ranks = integerFlag("-n", flags.n, 1);
  if (ranks === undefined) throw new UsageError("-n is missing; flags go before the script: webccl run -n 4 script.ts");
  if (flags.threads !== true && flags.oversubscribe !== true)
    checkCores(ranks, "or --threads, or pass --oversubscribe");
  return run({
    ranks,
    bun: integerFlag("--bun", flags.bun, 0),
    deno: integerFlag("--deno", flags.deno, 0),
    browsers: integerFlag("--browsers", flags.browsers, 0),
    threads: flags.threads === true,
    verbose: flags.verbose === true,
    hub: hubFlag(flags.hub),
    maxRestarts: integerFlag("--max-restarts", flags.maxRestarts, 0),
    noKill: flags.kill === false,
    hosts: hostsOf(flags),
    logDir: textFlag("--log-dir", flags.logDir),
    tee: flags.tee === true,
    script,
    args,
  });
}

/**
 * The hub's address given by --hub.
 * @throws UsageError if it is none.
 */
function hubFlag(value: FlagValue): string | undefined {
  const url = textFlag("--hub", value);
  if (url === undefined || (URL.canParse(url) && /^wss?:$/.test(new URL(url).protocol))) return url;
  throw new UsageError(`--hub must be a hub's address, such as ws://10.0.0.1:29500/my-group or wss://…, got ${url}`);
}

/** Spellings of the flags of `command` that take the next word. */
function valueFlags(command: Command): ReadonlySet<string> {
  return new Set(spellingsOf(command.options.filter((option) => !option.isBoolean)));
}

/** Flags of other launchers (torchrun, mpirun), each with ours. */
const OTHERS_FLAGS: Readonly<Record<string, string>> = {
  "--nproc-per-node": "--ranks",
  "--np": "--ranks",
  "--enable-recovery": "--no-kill",
};

/** A word as the flags are declared: -n4 is -n 4, -np is -n, --max_restarts is --max-restarts, and other launchers' flags are ours. */
function asDeclared(word: string): string[] {
  if (word === "-np") return ["-n"];
  const [, count] = /^-n([^=].*)$/.exec(word) ?? [];
  if (count !== undefined) return ["-n", count];
  const [flag = "", ...value] = word.split("=");
  if (!flag.startsWith("--")) return [word];
  const dashed = flag.replaceAll("_", "-");
  return [[OTHERS_FLAGS[dashed] ?? dashed, ...value].join("=")];
}

/**
 * `argv` of `webccl run` cut behind the script: the flags before it are ours, everything after it is the script's.
 * `valueFlags` are our flags that take the next word.
 * @throws UsageError if there is no script.
 */
export function splitRunArguments(argv: readonly string[], valueFlags: ReadonlySet<string>): [string[], string[]] {
  /** The flag whose value the next word is, and the last value. */
  let flag: string | null = null;
  let taken = "";
  const own = (end: number) => argv.slice(0, end).flatMap(asDeclared);
  for (const [i, given] of argv.entries()) {
    const words = asDeclared(given);
    const [word = given] = words;
    if (flag !== null) {
      taken = PROGRAM.test(given) ? `; ${given} is the value of ${flag}` : "";
      flag = null;
      continue;
    }
    if (word === "--help" || word === "-h") return [own(i + 1), []];
    if (word === "--") {
      const script = argv[i + 1];
      if (script === undefined) break;
      return [[...own(i), script], argv.slice(i + 2)];
    }
    if (valueFlags.has(word)) flag = words.length === 1 ? word : null;
    else if (!word.startsWith("-")) return [own(i + 1), argv.slice(i + 1)];
  }
  throw new UsageError(`run needs a script${taken}: webccl run -n 4 script.ts`);
}

const PROGRAM = /\.[cm]?[jt]sx?$/;
