/** Programs in Deno, as the `deno` package of npm has it. */
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { outputOf, type Start } from "./output-of.ts";

/** The deno command. */
const DENO = join(dirname(createRequire(import.meta.url).resolve("deno/package.json")), "bin.cjs");

/** What starts a Deno program. */
export function denoCommand(program: string, args: readonly string[] = [], more: Record<string, string> = {}): Start {
  return {
    command: process.execPath,
    args: [DENO, "run", "-A", "--quiet", program, ...args],
    env: { ...process.env, XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR ?? tmpdir(), ...more },
  };
}

/** Runs a program to its end and returns what it printed, as {@link outputOf} does. */
export function runDeno(
  program: string,
  args: readonly string[] = [],
  more: Record<string, string> = {},
): Promise<string> {
  return outputOf(denoCommand(program, args, more));
}
