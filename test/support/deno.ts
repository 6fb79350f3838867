/** Programs in Deno, as the `deno` package of npm has it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** The deno command. */
const DENO = join(dirname(createRequire(import.meta.url).resolve("deno/package.json")), "bin.cjs");

/** What starts a Deno program: a command, its arguments, and what it needs in its environment. */
export function denoCommand(program: string, args: readonly string[] = [], more: Record<string, string> = {}) {
  return {
    command: process.execPath,
    args: [DENO, "run", "-A", "--quiet", program, ...args],
    env: { ...process.env, XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR ?? tmpdir(), ...more },
  };
}

/**
 * Runs a program to its end and returns what it printed.
 * @throws Error with its exit code, if that is not 0.
 */
export async function runDeno(
  program: string,
  args: readonly string[] = [],
  more: Record<string, string> = {},
): Promise<string> {
  const { command, args: all, env } = denoCommand(program, args, more);
  const child = spawn(command, all, { env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let errors = "";
  child.stdout.on("data", (chunk) => {
    output += chunk;
  });
  child.stderr.on("data", (chunk) => {
    errors += chunk;
  });
  const [code, signal] = await once(child, "close");
  if (code !== 0) throw new Error(`deno ended with ${code ?? signal}: ${errors}${output}`);
  return output;
}
