/**
 * `npm run simulate`: the built library in simulated worlds (docs/simulation.md). It runs as a package does, so that each
 * `import()` of it is over without real work.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { build, isBuilt, root } from "./build.ts";
import { toldBy } from "./command-line.ts";

const USAGE = `npm run simulate -- [options]
  --seeds N          how many schedules are drawn and run (1,000)
  --first-seed S     the first seed (1)
  --seed S           runs the schedule of this seed alone
  --schedule JSON    runs this schedule alone
  --trace            with --seed or --schedule: prints every event
  --jobs N           processes at a time (the number of cores)
  --no-shrink        does not look for shorter schedules
  --json             prints the result as JSON`;
const text = { type: "string" } as const;
const flag = { type: "boolean" } as const;

toldBy(
  USAGE,
  {
    ...{ seeds: text, "first-seed": text, seed: text, schedule: text, jobs: text },
    ...{ trace: flag, "no-shrink": flag, json: flag },
  },
  () => {},
);
if (!isBuilt()) await build();
const { status } = spawnSync(process.execPath, [join(root, "dist/simulated/main.js"), ...process.argv.slice(2)], {
  stdio: "inherit",
});
process.exitCode = status ?? 1;
