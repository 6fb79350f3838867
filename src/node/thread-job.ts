/**
 * Ranks as threads: starts them with one memory in common, and tells a thread which one it is.
 *
 * The ranks meet as processes do, by the variables of env://. They find out from each other that they share memory.
 */
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { pathToFileURL } from "node:url";
import { Worker, workerData } from "node:worker_threads";
import { UnsupportedError } from "../errors.ts";
import { createMemory } from "../executor/cpu/wasm-memory.ts";
import { MAX_THREADS, threadEnded } from "../link/threads/directory.ts";
import { isBellKey } from "../link/threads/links.ts";
import type { ThreadJob } from "../platform.ts";
import { removeNamesOfThread } from "./memory-files/memory-files.ts";

/** The program to start, and how. */
export interface ThreadsOptions {
  /** Number of threads, at least 1. */
  ranks: number;
  /** Path of the program. */
  script: string;
  args: readonly string[];
  /** URL of the tsx module by which the program is to be loaded; null if Node can run it as it is. */
  tsx: string | null;
  /** Environment of every thread; each finds its RANK, LOCAL_RANK and ROLE_RANK in it besides. */
  environment: NodeJS.ProcessEnv;
  /** Hand stdout and stderr to the caller, who reads them. */
  piped: boolean;
}

/** Where a thread finds its job in `workerData`. */
interface JobData {
  webccl?: Pick<ThreadJob, "id" | "memory" | "index">;
}

/**
 * Starts the threads of one job.
 * @throws RangeError for too many of them, UnsupportedError where memory cannot be shared.
 */
export function startThreads({ ranks, script, args, tsx, environment, piped }: ThreadsOptions): Worker[] {
  if (ranks > MAX_THREADS) throw new RangeError(`${ranks} threads: a job has at most ${MAX_THREADS}`);
  const { memory, shared } = createMemory();
  if (!shared) throw new UnsupportedError("this process may not share memory between threads");
  const id = crypto.randomUUID();
  return Array.from({ length: ranks }, (_, index) => {
    const worker = new Worker(tsx === null ? script : loadedBy(tsx, script, args), {
      argv: [...args],
      env: { ...environment, RANK: String(index), LOCAL_RANK: String(index), ROLE_RANK: String(index) },
      workerData: { webccl: { id, memory, index } } satisfies JobData,
      stdout: piped,
      stderr: piped,
    });
    const { threadId } = worker;
    worker.once("exit", () => {
      threadEnded(memory, index, isBellKey);
      removeNamesOfThread(threadId);
    });
    return worker;
  });
}

/** A program that runs `script` through tsx, which does not take itself along into threads. */
function loadedBy(tsx: string, script: string, args: readonly string[]): URL {
  const api = createRequire(tsx)
    .resolve("tsx/esm/api")
    .replace(/\.cjs$/, ".mjs");
  const program = [
    `import { register } from ${JSON.stringify(pathToFileURL(api))};`,
    "register();",
    `process.argv.splice(1, Infinity, ...${JSON.stringify([script, ...args])});`,
    `await import(${JSON.stringify(pathToFileURL(script))});`,
  ];
  return new URL(`data:text/javascript,${encodeURIComponent(program.join("\n"))}`);
}

/** The job that this thread was started for, or null. */
export function threadJob(): ThreadJob | null {
  const job = (workerData as JobData | null)?.webccl;
  if (!job) return null;
  const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
  return { ...job, cores: availableParallelism(), turn, openStore: null };
}
