/** Ranks of tests as processes of Node and of Deno. */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { denoExecutable } from "../../src/cli/deno-command.ts";
import type { Job, Outcome } from "./job.ts";

const COMMANDS = {
  node: () => [process.execPath, "--import", "tsx"],
  deno: () => [denoExecutable(), "run", "--allow-all", "--quiet"],
} as const;

export type ProcessRuntime = keyof typeof COMMANDS;

/** Starts a program of these tests, and kills it when the test ends. */
export function startProgram(runtime: ProcessRuntime, program: string, env: NodeJS.ProcessEnv = {}): ChildProcess {
  const [command, ...args] = COMMANDS[runtime]();
  const file = fileURLToPath(new URL(program, import.meta.url));
  const child = spawn(command!, [...args, file], {
    env: { ...process.env, ...env },
    stdio: "pipe",
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  return child;
}

/** A rank in a process of its own; resolves with its outcome when it has ended by itself. */
export function runProcess(runtime: ProcessRuntime, job: Job, env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  const child = startProgram(runtime, `${runtime}/program.ts`, { ...env, JOB: JSON.stringify(job) });
  let stdout = "";
  let stderr = "";
  child.stdout!.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr!.on("data", (chunk) => {
    stderr += chunk;
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0) resolve(JSON.parse(stdout.trim().split("\n").at(-1)!));
      else reject(new Error(`${runtime} ended with ${code ?? signal}: ${stderr}${stdout}`));
    });
  });
}
