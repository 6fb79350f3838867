/**
 * PyTorch, the oracle for everything that c10d means: an environment of its own, with the versions that the recorded vectors
 * were made by. `npm run nightly` and the programs of test/oracles/ use it; `npm test` reads the recorded vectors alone.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { root } from "./build.ts";

const PACKAGES = ["torch==2.15.*", "numpy"];
const folder = join(root, "node_modules", ".cache", "pytorch");

/**
 * The Python that has PyTorch. The first call takes a minute or two, and 5.4 GB of disk. `WEBCCL_PYTORCH` names another one.
 * @throws Error if the environment cannot be made.
 */
export function pytorchPython(): string {
  const given = process.env.WEBCCL_PYTORCH;
  if (given) return given;
  const python = join(folder, "bin", "python");
  const done = join(folder, "installed");
  if (existsSync(done)) return python;
  console.log(`installing ${PACKAGES.join(" and ")} into ${folder}`);
  run("python3", ["-m", "venv", folder]);
  run(python, ["-m", "pip", "install", "--quiet", ...PACKAGES]);
  run("touch", [done]);
  return python;
}

function run(command: string, args: readonly string[]): void {
  const { status, error } = spawnSync(command, args, { stdio: "inherit" });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} failed`, { cause: error });
}
