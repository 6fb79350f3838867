/** Programs of the tests that run to their end. */
import { spawn } from "node:child_process";
import { once } from "node:events";

/** What starts a program: a command, its arguments, its environment, and where it runs if not here. */
export interface Start {
  command: string;
  args: readonly string[];
  env: NodeJS.ProcessEnv;
  cwd?: string;
}

/**
 * What a program printed.
 * @throws Error with its exit code and all it printed, if that is not 0.
 */
export async function outputOf({ command, args, ...place }: Start): Promise<string> {
  const child = spawn(command, args, { ...place, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let errors = "";
  child.stdout.on("data", (chunk) => {
    output += chunk;
  });
  child.stderr.on("data", (chunk) => {
    errors += chunk;
  });
  const [code, signal] = await once(child, "close");
  if (code !== 0) throw new Error(`${command} ended with ${code ?? signal}: ${errors}${output}`);
  return output;
}

/** Runs a program in Node, from its source, and returns the JSON that it printed. */
export async function runNode(program: string, more: Record<string, string>): Promise<unknown> {
  const args = ["--import", "tsx", program];
  return JSON.parse(await outputOf({ command: process.execPath, args, env: { ...process.env, ...more } }));
}
