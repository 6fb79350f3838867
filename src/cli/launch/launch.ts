/**
 * Starts the ranks of one host as processes, and sees to it that they end together.
 *
 * The first rank that ends badly decides the result. The others are given SURVIVOR_GRACE_MS to report what they saw
 * (their PeerLostError), then SIGTERM, and KILL_GRACE_MS later SIGKILL. SIGINT, SIGTERM and SIGHUP to the launcher end
 * the ranks the same way, without the first wait; a launcher that dies itself takes them along (orphan.ts).
 */

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { constants } from "node:os";
import { resolve } from "node:path";
import { type Readable, Transform } from "node:stream";
import { fileURLToPath, pathToFileURL } from "node:url";
import { startHub } from "../../node/hub.ts";
import { startThreads, type ThreadsOptions } from "../../node/thread-job.ts";
import { siblingModule } from "../sibling-module.ts";
import { UsageError } from "../usage.ts";
import { programPage } from "./browser-page.ts";
import { denoArguments, denoExecutable } from "./deno-command.ts";

const SURVIVOR_GRACE_MS = 2_000;
const KILL_GRACE_MS = 3_000;

/** How long after a rank's exit its pipes may stay open, in case a process of its own still holds them. */
const DRAIN_MS = 1_000;

const STOP_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** What to start. */
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
  /** Put `[rank] ` before every line the ranks print. Default: with more than one rank. */
  prefix?: boolean;
  /** Gets what a rank passes to `process.send`. */
  onMessage?: (rank: number, message: unknown) => void;
}

/** How one rank ended: one of the two is null. */
export interface RankEnd {
  rank: number;
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** How the job ended. */
export interface LaunchResult {
  /** 0, or the first failed rank's code, or 128 plus the number of the signal that ended it or the launcher. */
  exitCode: number;
  /** The first rank that ended badly, or null. */
  failure: RankEnd | null;
  /** Every rank, in the order in which they ended. */
  ends: readonly RankEnd[];
  /** The signal that told the launcher to stop, or null. */
  stoppedBy: NodeJS.Signals | null;
}

/**
 * Runs `script` as `ranks` processes and resolves when none is left.
 * @throws UsageError if the script does not exist, or is TypeScript and nothing here can run it.
 */
export async function launch(options: LaunchOptions): Promise<LaunchResult> {
  const { ranks, hub, args = [] } = options;
  const prefix = options.prefix ?? ranks > 1;
  const script = resolve(options.script);
  if (!existsSync(script)) throw new UsageError(`no such script: ${options.script}`);
  const orphan = siblingModule(import.meta.url, "./orphan");
  const { deno = 0, browsers = 0, threads = false } = options;
  if (deno + browsers > ranks) {
    throw new UsageError(`--deno ${deno} and --browsers ${browsers} are more than -n ${ranks}`);
  }
  if (threads && deno + browsers > 0) throw new UsageError("--threads are of Node: leave --deno and --browsers out");
  const loader = typeScriptLoader([script, orphan.pathname]);
  const node = (program: string) => [...(loader ? ["--import", loader] : []), "--import", orphan.href, program];
  const browserRank = siblingModule(import.meta.url, "./browser-rank").pathname;
  const denoCommand = deno > 0 ? denoExecutable() : "";
  const commandOf: CommandOf = (rank) => {
    if (rank >= ranks - browsers) return [process.execPath, node(browserRank)];
    if (rank >= ranks - browsers - deno) return [denoCommand, denoArguments(script, args)];
    return [process.execPath, [...node(script), ...args]];
  };
  const { environment, close } = await openJob(ranks, hub, browsers > 0 ? script : null);
  const start = threads
    ? startAsThreads({ ranks, script, args, tsx: loader, environment, piped: prefix })
    : startAsProcesses(ranks, commandOf, environment, prefix);

  return new Promise((finish) => {
    const children = new Map<number, Rank>();
    const ends: RankEnd[] = [];
    let failure: RankEnd | null = null;
    let stoppedBy: NodeJS.Signals | null = null;
    let timer: NodeJS.Timeout | undefined;

    const signalAll = (signal: NodeJS.Signals) => {
      for (const child of children.values()) child.kill(signal);
    };
    const terminate = () => {
      signalAll("SIGTERM");
      clearTimeout(timer);
      timer = setTimeout(signalAll, KILL_GRACE_MS, "SIGKILL");
    };
    const stop = (signal: NodeJS.Signals) => {
      if (stoppedBy) return signalAll("SIGKILL");
      stoppedBy = signal;
      terminate();
    };
    const brokenPipe = () => stop("SIGPIPE");
    const killAll = () => signalAll("SIGKILL");

    const onEnd = (end: RankEnd) => {
      if (!children.delete(end.rank)) return;
      ends.push(end);
      if (!failure && end.code !== 0) {
        failure = end;
        if (!stoppedBy) timer = setTimeout(terminate, SURVIVOR_GRACE_MS);
      }
      if (children.size > 0) return;
      clearTimeout(timer);
      for (const signal of STOP_SIGNALS) process.off(signal, stop);
      process.off("exit", killAll);
      process.stdout.off("error", brokenPipe);
      for (const stream of [process.stdout, process.stderr]) stream.setMaxListeners(stream.getMaxListeners() - ranks);
      void close().then(() => finish({ exitCode: exitCode(stoppedBy, failure), failure, ends, stoppedBy }));
    };

    for (const signal of STOP_SIGNALS) process.on(signal, stop);
    process.on("exit", killAll);
    process.stdout.on("error", brokenPipe);
    for (const stream of [process.stdout, process.stderr]) stream.setMaxListeners(stream.getMaxListeners() + ranks);

    start((rank, child) => {
      children.set(rank, child);
      if (prefix) {
        child.stdout!.pipe(linePrefixer(rank)).pipe(process.stdout, { end: false });
        child.stderr!.pipe(linePrefixer(rank)).pipe(process.stderr, { end: false });
      }
      child.onMessage((message) => options.onMessage?.(rank, message));
      child.onEnd((code, signal) => onEnd({ rank, code, signal }));
    });
  });
}

/** A rank that runs, whether process or thread. */
interface Rank {
  readonly stdout: Readable | null;
  readonly stderr: Readable | null;
  kill(signal: NodeJS.Signals): void;
  onMessage(listener: (message: unknown) => void): void;
  onEnd(listener: (code: number | null, signal: NodeJS.Signals | null) => void): void;
}

/** Command and arguments of a rank. */
type CommandOf = (rank: number) => readonly [command: string, args: string[]];

/** Starts the ranks and hands each over. */
type Start = (started: (rank: number, child: Rank) => void) => void;

function startAsProcesses(ranks: number, commandOf: CommandOf, environment: NodeJS.ProcessEnv, piped: boolean): Start {
  return (started) => {
    for (let rank = 0; rank < ranks; rank++) {
      const output = piped ? "pipe" : "inherit";
      const [command, commandArgs] = commandOf(rank);
      const child = spawn(command, commandArgs, {
        env: { ...environment, RANK: String(rank), LOCAL_RANK: String(rank) },
        stdio: [rank === 0 ? "inherit" : "ignore", output, output, "ipc"],
      });
      started(rank, {
        stdout: child.stdout,
        stderr: child.stderr,
        kill: (signal) => child.kill(signal),
        onMessage: (listener) => child.on("message", listener),
        onEnd: (listener) => {
          child.once("error", () => listener(1, null));
          child.once("exit", (code, signal) => {
            const drained = setTimeout(listener, DRAIN_MS, code, signal);
            child.once("close", () => {
              clearTimeout(drained);
              listener(code, signal);
            });
          });
        },
      });
    }
  };
}

/** A signal ends a thread at once: there is nothing in it that could hear one. */
function startAsThreads(options: ThreadsOptions): Start {
  return (started) => {
    startThreads(options).forEach((worker, rank) => {
      let endedBy: NodeJS.Signals | null = null;
      started(rank, {
        stdout: worker.stdout,
        stderr: worker.stderr,
        kill: (signal) => {
          endedBy ??= signal;
          void worker.terminate();
        },
        onMessage: (listener) => worker.on("message", listener),
        onEnd: (listener) => {
          worker.on("error", (error) => process.stderr.write(`[${rank}] ${(error as Error).stack ?? String(error)}\n`));
          worker.once("exit", (code) => listener(endedBy ? null : code, endedBy));
        },
      });
    });
  };
}

/** `rank 2 was killed by SIGKILL`, `rank 2 exited with code 3`. */
export function describeEnd({ rank, code, signal }: RankEnd): string {
  return signal ? `rank ${rank} was killed by ${signal}` : `rank ${rank} exited with code ${code}`;
}

function exitCode(stoppedBy: NodeJS.Signals | null, failure: RankEnd | null): number {
  const signal = stoppedBy ?? failure?.signal;
  return signal ? 128 + constants.signals[signal] : (failure?.code ?? 0);
}

/** What every rank finds in its environment, and what ends with the job. */
interface LaunchedJob {
  environment: NodeJS.ProcessEnv;
  close(): Promise<void>;
}

/**
 * Where the ranks meet: at `hub`, at a hub here that serves the program to browsers, or in rank 0. The token is in the environment and
 * never in an argument list, which all users can read.
 */
async function openJob(ranks: number, hub: string | undefined, inBrowsers: string | null): Promise<LaunchedJob> {
  const token = process.env.WEBCCL_TOKEN ?? randomBytes(32).toString("hex");
  const size = { ...process.env, WORLD_SIZE: String(ranks), LOCAL_WORLD_SIZE: String(ranks) };
  if (hub !== undefined && inBrowsers !== null) {
    throw new UsageError("--browsers meet at a hub that run starts itself: leave --hub out");
  }
  if (hub !== undefined) return { environment: { ...size, WEBCCL_INIT_METHOD: hub }, close: async () => {} };
  if (inBrowsers !== null) {
    const server = await startHub({ port: 0, token, sameOrigin: true, onRequest: await programPage(inBrowsers) });
    const environment = { ...size, WEBCCL_INIT_METHOD: `${server.url}/run`, WEBCCL_TOKEN: token };
    return { environment, close: () => server.close() };
  }
  const address = { MASTER_ADDR: "127.0.0.1", MASTER_PORT: String(await freePort()) };
  return { environment: { ...size, ...address, WEBCCL_TOKEN: token }, close: async () => {} };
}

function freePort(): Promise<number> {
  return new Promise((found, failed) => {
    const server = createServer();
    server.once("error", failed);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => (address && typeof address === "object" ? found(address.port) : failed(new Error("no port"))));
    });
  });
}

/** What lets Node run `files`: null for nothing, or the URL of tsx, from the first one's project or from beside webccl. */
function typeScriptLoader(files: readonly [string, string]): string | null {
  const typed = files.find((file) => /\.[mc]?tsx?$/.test(file));
  if (typed === undefined || stripsTypes()) return null;
  const tsx = findTsx(files[0]);
  if (tsx !== null) return pathToFileURL(tsx).href;
  throw new UsageError(
    `${typed} is TypeScript, which Node ${process.versions.node} does not run by itself: ` +
      "install tsx beside it (npm install --save-dev tsx), or use Node 22.18 or later",
  );
}

/** How a .ts file of the working folder would be run, or null if nothing here can. */
export function typeScriptRunner(): string | null {
  if (stripsTypes()) return "by Node itself";
  return findTsx(resolve("script.ts")) && "through tsx";
}

const stripsTypes = () => Boolean((process.features as { typescript?: unknown }).typescript);

function findTsx(script: string): string | null {
  for (const from of [script, fileURLToPath(import.meta.url)]) {
    try {
      return createRequire(from).resolve("tsx");
    } catch {
      // Not installed there.
    }
  }
  return null;
}

/** Passes whole lines on, each with `[rank] ` before it, so that lines of different ranks never mix. */
function linePrefixer(rank: number): Transform {
  const decoder = new TextDecoder();
  let rest = "";
  const mark = (lines: readonly string[]) => lines.map((line) => `[${rank}] ${line}\n`).join("");
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      done(null, mark(lines));
    },
    flush(done) {
      rest += decoder.decode();
      done(null, rest === "" ? "" : mark([rest]));
    },
  });
}
