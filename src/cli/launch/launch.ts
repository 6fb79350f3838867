/** Starts the ranks of this host as processes or threads, and resolves when all of them have ended. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { PassThrough } from "node:stream";
import { siblingModule } from "../sibling-module.ts";
import { UsageError } from "../usage.ts";
import { denoArguments, denoEnvironment, denoExecutable } from "./deno-command.ts";
import { type Hosts, openHosts } from "./hosts.ts";
import { openJob } from "./job.ts";
import { linePrefixer } from "./line-prefixer.ts";
import { LogFiles } from "./log-files.ts";
import { type CommandOf, type Rank, startAsThreads, startProcess } from "./ranks.ts";
import { type LaunchResult, Supervisor } from "./supervisor.ts";
import { typeScriptLoader } from "./type-script.ts";

/** The ranks to start. */
export interface LaunchOptions {
  /** Number of ranks, at least 1: processes of Node first, then those of Deno, then browsers. */
  ranks: number;
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
  const script = resolve(options.script);
  if (!existsSync(script)) throw new UsageError(`no such script: ${options.script}`);
  const { deno = 0, browsers = 0, threads = false, verbose = false, maxRestarts = 0 } = options;
  checkTogether(options);
  const logs = logDir === undefined ? null : new LogFiles(resolve(logDir));
  const prints = logs === null || options.tee === true;
  const orphan = siblingModule(import.meta.url, "./orphan");
  const preloads = [orphan, ...(verbose ? [] : [siblingModule(import.meta.url, "./short-failure")])];
  const inNode = [...(deno + browsers < ranks ? [script] : []), ...(deno < ranks ? [orphan.pathname] : [])];
  const loader = typeScriptLoader(inNode, script);
  const commandOf = commands({ ranks, deno, browsers, script, args }, preloads, loader);
  const job = hosts ? await openHosts(hosts, ranks, hub) : await openJob(ranks, hub, browsers > 0 ? script : null);
  const environmentOf = (rank: number, restarts: number) => ({
    ...{ ...process.env, TORCHELASTIC_MAX_RESTARTS: String(maxRestarts) },
    ...job.variables(rank, restarts),
    ...(isInDeno(options, rank) ? denoEnvironment() : {}),
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

/** @throws UsageError for options that do not go together. */
function checkTogether({ ranks, deno = 0, browsers = 0, threads = false, ...options }: LaunchOptions): void {
  if (deno + browsers > ranks) {
    throw new UsageError(`--deno ${deno} and --browsers ${browsers} are more than -n ${ranks}`);
  }
  if (threads && deno + browsers > 0) throw new UsageError("--threads are of Node: leave --deno and --browsers out");
  if (threads && (options.maxRestarts ?? 0) > 0)
    throw new UsageError("--max-restarts is for processes: leave --threads out");
  if (options.hosts && threads) throw new UsageError("--threads are of one host: leave --nnodes out");
  if (options.hosts && browsers > 0) throw new UsageError("--browsers are of one host: leave --nnodes out");
  if (options.tee && options.logDir === undefined) throw new UsageError("--tee goes with --log-dir");
}

/** Does Deno run it? The ranks of Node come first, browsers last. */
function isInDeno({ ranks, deno = 0, browsers = 0 }: LaunchOptions, rank: number): boolean {
  return rank >= ranks - browsers - deno && rank < ranks - browsers;
}

/** The command of each rank: Node, which loads `preloads` and `loader` first, Deno, or a process that opens a browser. */
function commands(
  job: { ranks: number; deno: number; browsers: number; script: string; args: readonly string[] },
  preloads: readonly URL[],
  loader: string | null,
): CommandOf {
  const { ranks, deno, browsers, script, args } = job;
  const imported = [...(loader ? [loader] : []), ...preloads.map(({ href }) => href)];
  const node = (program: string) => [...imported.flatMap((url) => ["--import", url]), program];
  const browserRank = siblingModule(import.meta.url, "./browser-rank").pathname;
  const denoCommand = deno > 0 ? denoExecutable() : "";
  return (rank) => {
    if (rank >= ranks - browsers) return [process.execPath, node(browserRank)];
    if (rank >= ranks - browsers - deno) return [denoCommand, denoArguments(script, args, preloads)];
    return [process.execPath, [...node(script), ...args]];
  };
}
