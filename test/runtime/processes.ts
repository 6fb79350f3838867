/** Ranks of tests as processes of Node, in the version that runs this or in another, of Bun and of Deno. */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { bunExecutable, denoExecutable } from "../../src/cli/launch/other-runtimes.ts";
import { bundled } from "../helpers/bundled.ts";
import { NODES, type NodeVersion, nodeFolder } from "../helpers/nodes.ts";
import type { Job, Outcome } from "./job.ts";

type CommandOf = (file: string) => Promise<string[]>;

const ofNode = (version: NodeVersion): [`node-${NodeVersion}`, CommandOf] => [
  `node-${version}`,
  async (file) => [`${nodeFolder(version)}/node`, await bundled(file)],
];

/** How each runtime is given the path of a program. */
const COMMANDS = {
  ...(Object.fromEntries(NODES.map(ofNode)) as Record<`node-${NodeVersion}`, CommandOf>),
  node: async (file: string) => [process.execPath, await bundled(file)],
  bun: async (file: string) => [bunExecutable(), "run", file],
  deno: async (file: string) => [denoExecutable(), "run", "--allow-all", "--quiet", file],
} as const;

export type ProcessRuntime = keyof typeof COMMANDS;

/** Starts a program of these tests, and kills it when the test ends. */
export async function startProgram(
  runtime: ProcessRuntime,
  program: string,
  env: NodeJS.ProcessEnv = {},
): Promise<ChildProcess> {
  const [command, ...args] = await COMMANDS[runtime](fileURLToPath(new URL(program, import.meta.url)));
  const child = spawn(command!, args, {
    env: { ...process.env, ...env },
    stdio: "pipe",
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  return child;
}

/** A rank in a process of its own; resolves with its outcome when it has ended by itself. */
export async function runProcess(runtime: ProcessRuntime, job: Job, env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  const child = await startProgram(runtime, `${runtime.replace(/-.*/, "")}/program.ts`, {
    ...env,
    JOB: JSON.stringify(job),
  });
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
