/** A rank as its launcher sees it, and how ranks are started: as processes or as threads. */
import { spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { startThreads, type ThreadsOptions } from "../../node/thread-job.ts";
import { failureLine } from "./failure-line.ts";

/** How long after a rank's exit its pipes may stay open, in case a process of its own still holds them. */
const DRAIN_MS = 1_000;

/** A rank that runs, whether process or thread. */
export interface Rank {
  readonly stdout: Readable | null;
  readonly stderr: Readable | null;
  kill(signal: NodeJS.Signals): void;
  onMessage(listener: (message: unknown) => void): void;
  onEnd(listener: (code: number | null, signal: NodeJS.Signals | null) => void): void;
}

/** Command and arguments of a rank. */
export type CommandOf = (rank: number) => readonly [command: string, args: string[]];

/** Starts a process; with `piped` its output is the caller's to read. */
export function startProcess(rank: number, commandOf: CommandOf, env: NodeJS.ProcessEnv, piped: boolean): Rank {
  const output = piped ? "pipe" : "inherit";
  const [command, commandArgs] = commandOf(rank);
  const child = spawn(command, commandArgs, {
    env,
    stdio: [rank === 0 ? "inherit" : "ignore", output, output, "ipc"],
  });
  return {
    stdout: child.stdout,
    stderr: child.stderr,
    kill: (signal) => child.kill(signal),
    onMessage: (listener) => child.on("message", listener),
    onEnd: (listener) => {
      child.once("error", () => listener(1, null));
      child.once("exit", (code, signal) => {
        const drained = setTimeout(() => {
          // A process that the rank started may hold its output open.
          child.stdout?.destroy();
          child.stderr?.destroy();
          listener(code, signal);
        }, DRAIN_MS);
        child.once("close", () => {
          clearTimeout(drained);
          listener(code, signal);
        });
      });
    },
  };
}

/** Starts threads of this process. A signal ends a thread at once: nothing in it could hear one. */
export function startAsThreads(options: ThreadsOptions, verbose: boolean): Rank[] {
  return startThreads(options).map((worker, rank) => {
    let endedBy: NodeJS.Signals | null = null;
    return {
      stdout: worker.stdout,
      stderr: worker.stderr,
      kill: (signal) => {
        endedBy ??= signal;
        void worker.terminate();
      },
      onMessage: (listener) => worker.on("message", listener),
      onEnd: (listener) => {
        worker.on("error", (error) => {
          const text = verbose ? ((error as Error).stack ?? String(error)) : failureLine(error);
          process.stderr.write(`[${rank}] ${text}\n`);
        });
        worker.once("exit", (code) => listener(endedBy ? null : code, endedBy));
      },
    };
  });
}
