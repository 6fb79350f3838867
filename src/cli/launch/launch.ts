/** Starts the ranks of this host as processes or threads, and resolves when all of them have ended. */
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { PassThrough } from "node:stream";
import { siblingModule } from "../sibling-module.ts";
import { UsageError } from "../usage.ts";
import { type Hosts, openHosts } from "./hosts.ts";
import { openJob } from "./job.ts";
import { linePrefixer } from "./line-prefixer.ts";
import { LogFiles } from "./log-files.ts";
import { bunArguments, bunExecutable, denoArguments, denoEnvironment, denoExecutable } from "./other-runtimes.ts";
import { type CommandOf, type Rank, startAsThreads, startProcess } from "./ranks.ts";
import { type LaunchResult, Supervisor } from "./supervisor.ts";
import { typeScriptLoader } from "./type-script.ts";

/** The ranks to start. */
export interface LaunchOptions {
  /** Number of ranks, at least 1: processes of Node first, then those of Bun, those of Deno, and browsers. */
  ranks: number;
  /** How many of them run in Bun. Default: 0, or all where the launcher runs in Bun itself. */
  bun?: number | undefined;
  /** How many of them run in Deno. Default: 0. */
  deno?: number | undefined;
  /** How many of them run in a page of a browser of their own. Default: 0. */
  browsers?: number | undefined;
  /** Path of the program, JavaScript or TypeScript. */
  script: string;
  args?: readonly string[];
  /** Start threads of this process, which share memory, instead of processes. */
  threads?: boolean | undefined;
  /** Address of a running hub. Default: rank 0 hosts one on a free port of 127.0.0.1. */
  hub?: string | undefined;
  /** Print all that a runtime says of an error that ends a rank, instead of one line. Default: false. */
  verbose?: boolean | undefined;
  /** How often ranks that end badly are started again, all together; they join the group that runs. Default: 0. */
  maxRestarts?: number | undefined;
  /** Let the others go on when a rank ends badly and is not started again. Default: false, they are ended. */
  noKill?: boolean | undefined;
  /** The hosts of the job, each of which has `ranks` ranks. Default: this one alone. */
  hosts?: Hosts | null | undefined;
  /** Folder for files that keep what each rank prints. */
  logDir?: string | undefined;
  /** With `logDir`: print it, too. Default: false. */
  tee?: boolean | undefined;
  /** Put `[rank] ` before every line the ranks print. Default: with more than one rank. */
  prefix?: boolean;
  /** Gets the messages that a rank passes to `process.send`. */
  onMessage?: (rank: number, message: unknown) => void;
}

/**
 * Runs `script` as `ranks` processes and resolves when none is left.
 * @throws UsageError for options that do not go together, or if the script does not exist, or is TypeScript, a rank of Node is to run it, and nothing here can.
 */
export async function launch(options: LaunchOptions): Promise<LaunchResult> {
  const { ranks, hub, args = [], hosts = null, logDir } = options;
  const prefix = options.prefix ?? (ranks > 1 || hosts !== null);
  const script = programAt(options.script);
  const { threads = false, verbose = false, maxRestarts = 0, noKill = false } = options;
  const counts = countsOf(options);
  checkTogether(options, counts);
  const logs = logDir === undefined ? null : new LogFiles(resolve(logDir));
  const prints = logs === null || options.tee === true;
  const orphan = siblingModule(import.meta.url, "./orphan");
  const preloads = [orphan, ...(verbose ? [] : [siblingModule(import.meta.url, "./short-failure")])];
  const inNode = counts.node > 0 ? [script] : [];
  if (!IN_BUN && counts.node + counts.browsers > 0) inNode.push(orphan.pathname);
  const loader = typeScriptLoader(inNode, script);
  const commandOf = commands(counts, { script, args, preloads, loader });
  const job = hosts
    ? await openHosts(hosts, ranks, hub)
    : await openJob(ranks, hub, counts.browsers > 0 ? script : null);
  const environmentOf = (rank: number, restarts: number) => ({
    ...{ ...process.env, TORCHELASTIC_MAX_RESTARTS: String(maxRestarts) },
    ...job.variables(rank, restarts),
    ...(runnerOf(counts, rank) === "deno" ? denoEnvironment() : {}),
  });
  const piped = prefix || logs !== null;
  const startOne = (rank: number, restarts: number) =>
    startProcess(rank, commandOf, environmentOf(rank, restarts), piped);

  const result = await new Promise<LaunchResult>((ended) => {
    const add = (rank: number, running: Rank) => {
      logs?.keep(job.nameOf(rank), running);
      if (piped && prints) {
        const marked = () => (prefix ? linePrefixer(job.nameOf(rank)) : new PassThrough());
        running.stdout?.pipe(marked()).pipe(process.stdout, { end: false });
        running.stderr?.pipe(marked()).pipe(process.stderr, { end: false });
      }
      running.onMessage((message) => options.onMessage?.(rank, message));
      supervisor.add(rank, running);
    };
    const supervisor = new Supervisor({
      count: ranks,
      onEnded: ended,
      nameOf: job.nameOf,
      hasOthers: (hosts?.most ?? 1) > 1,
      mostRestarts: maxRestarts,
      restart: (rank, restarts) => add(rank, startOne(rank, restarts)),
      survivorsGoOn: noKill,
    });
    if (threads)
      startAsThreads({ ranks, script, args, tsx: loader, environment: environmentOf(0, 0), piped }, verbose).forEach(
        (running, rank) => {
          add(rank, running);
        },
      );
    else for (let rank = 0; rank < ranks; rank++) add(rank, startOne(rank, 0));
  });
  await logs?.close();
  await job.close(result);
  return result;
}

/**
 * The program's path from the root.
 * @throws UsageError if it is not there.
 */
function programAt(path: string): string {
  const file = statSync(path, { throwIfNoEntry: false });
  if (!file) throw new UsageError(`no such script: ${path}`);
  if (file.isDirectory()) throw new UsageError(`${path} is a folder: name the program in it`);
  return resolve(path);
}

/** Who runs how many ranks, in their order. */
type Counts = Readonly<Record<"node" | "bun" | "deno" | "browsers", number>>;

/** A launcher in Bun starts what Node would start elsewhere in Bun. */
const IN_BUN = "bun" in process.versions;

function countsOf({ ranks, bun = 0, deno = 0, browsers = 0 }: LaunchOptions): Counts {
  const left = ranks - bun - deno - browsers;
  return IN_BUN ? { node: 0, bun: bun + left, deno, browsers } : { node: left, bun, deno, browsers };
}

/** @throws UsageError for options that do not go together. */
function checkTogether({ ranks, threads = false, ...options }: LaunchOptions, counts: Counts): void {
  const { bun = 0, deno = 0, browsers = 0 } = options;
  if (counts.node < 0 || counts.bun < bun) {
    throw new UsageError(`--bun ${bun}, --deno ${deno} and --browsers ${browsers} are more than -n ${ranks}`);
  }
  if (threads && bun + deno + browsers > 0) {
    throw new UsageError("--threads are of one process: leave --bun, --deno and --browsers out");
  }
  if (threads && (options.maxRestarts ?? 0) > 0)
    throw new UsageError("--max-restarts is for processes: leave --threads out");
  if (options.hosts && threads) throw new UsageError("--threads are of one host: leave --nnodes out");
  if (options.hosts && browsers > 0) throw new UsageError("--browsers are of one host: leave --nnodes out");
  if (options.tee && options.logDir === undefined) throw new UsageError("--tee goes with --log-dir");
}

/** Who runs a rank: the ranks of Node come first, browsers last. */
function runnerOf({ node, bun, deno }: Counts, rank: number): keyof Counts {
  if (rank < node) return "node";
  if (rank < node + bun) return "bun";
  return rank < node + bun + deno ? "deno" : "browsers";
}

/** The command of each rank: Node, which loads `preloads` and `loader` first, Bun, Deno, or a process that opens a browser. */
function commands(
  counts: Counts,
  program: { script: string; args: readonly string[]; preloads: readonly URL[]; loader: string | null },
): CommandOf {
  const { script, args, preloads, loader } = program;
  const imported = [...(loader ? [loader] : []), ...preloads.map(({ href }) => href)];
  const node = (file: string) => [...imported.flatMap((url) => ["--import", url]), file];
  const browserRank = siblingModule(import.meta.url, "./browser-rank").pathname;
  const [denoCommand, bunCommand] = [counts.deno > 0 ? denoExecutable() : "", counts.bun > 0 ? bunExecutable() : ""];
  return (rank) => {
    switch (runnerOf(counts, rank)) {
      case "node":
        return [process.execPath, [...node(script), ...args]];
      case "bun":
        return [bunCommand, bunArguments(script, args, preloads)];
      case "deno":
        return [denoCommand, denoArguments(script, args, preloads)];
      case "browsers":
        return [process.execPath, IN_BUN ? bunArguments(browserRank, [], preloads) : node(browserRank)];
    }
  };
}
