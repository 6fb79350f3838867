import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

/** Path of a program that the tests let `webccl run` start. */
export const program = (name: string) => fileURLToPath(new URL(`./programs/${name}`, import.meta.url));

/** A running `webccl`, as it is built. */
export interface Command {
  process: ChildProcess;
  /** Resolves with the match once stdout has one; rejects if the command ends without. */
  printed(pattern: RegExp): Promise<RegExpMatchArray>;
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null; stdout: string; stderr: string }>;
}

export function start(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  cwd = process.cwd(),
  onHost: (command: string, args: readonly string[]) => [string, string[]] = (command, words) => [command, [...words]],
): Command {
  const child = spawn(...onHost(process.execPath, [main, ...args]), {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  const waiting = new Set<() => void>();
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    for (const look of waiting) look();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const ended: Command["ended"] = new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  const printed = (pattern: RegExp) =>
    new Promise<RegExpMatchArray>((resolve, reject) => {
      const look = () => {
        const match = stdout.match(pattern);
        if (!match) return;
        waiting.delete(look);
        resolve(match);
      };
      waiting.add(look);
      look();
      ended.then(() => reject(new Error(`ended without printing ${pattern}:\n${stdout}${stderr}`)), reject);
    });
  return { process: child, printed, ended };
}

/** Runs `webccl` to its end. */
export const webccl = (args: readonly string[], env?: Readonly<Record<string, string>>, cwd?: string) =>
  start(args, env, cwd).ended;

/** Is there a process with this id? One that has ended and only waits to be collected does not count. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  if (process.platform !== "linux") return true;
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}
