/** Python programs of this folder, for comparisons that `npm run nightly` makes live. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

/** What a program of this folder prints, as JSON. Its errors go to this process's. */
export function runPython(python: string, program: string, ...words: readonly (string | number)[]): unknown {
  const path = fileURLToPath(new URL(program, import.meta.url));
  const { status, stdout, error } = spawnSync(python, [path, ...words.map(String)], {
    encoding: "utf8",
    maxBuffer: 2 ** 28,
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (status !== 0) throw new Error(`${program} failed with exit code ${status}`, { cause: error });
  return JSON.parse(stdout);
}

/** The seed of this run, printed so that it can be repeated: the first word of the command, else another one each time. */
export function seedOfRun(): number {
  const seed = Number(process.argv[2] ?? Date.now() % 2 ** 31);
  console.log(`seed ${seed}`);
  return seed;
}
