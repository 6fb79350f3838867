/**
 * `npm run demo`: four processes compute the statistics of 10,000 digits together (examples/digits.ts), then measure
 * every collective. Exit code 0 only if every number is right.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build, isBuilt, root } from "./build.ts";
import { takesNoWords } from "./command-line.ts";

const RANKS = 4;

takesNoWords("npm run demo: four processes, 10,000 digits, every collective measured and checked");
if (!isBuilt()) await build();

const webccl = join(root, "dist", "cli", "main.js");
const digits = spawnSync(process.execPath, [webccl, "run", "-n", String(RANKS), join("examples", "digits.ts")], {
  cwd: root,
  stdio: "inherit",
});
if (digits.status !== 0) process.exit(digits.status ?? 1);

const built = (name: string) => import(pathToFileURL(join(root, "dist", "cli", `${name}.js`)).href);
const { bench }: typeof import("../src/cli/bench/bench.ts") = await built("bench/bench");
const { BENCH_TABLE }: typeof import("../src/cli/bench/table.ts") = await built("bench/table");

process.exitCode = await bench(
  {
    collectives: BENCH_TABLE.map((row) => row.name),
    ranks: RANKS,
    minBytes: 1024,
    maxBytes: 4 * 1024 ** 2,
    factor: 64,
    dtype: "f32",
    op: "sum",
  },
  { json: false },
);
