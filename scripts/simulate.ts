/**
 * `npm run simulate`: the built library in simulated worlds (docs/simulation.md). It runs as a package does, so that each
 * `import()` of it is over without real work.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { build, isBuilt, root } from "./build.ts";

if (!isBuilt()) await build();
const { status } = spawnSync(process.execPath, [join(root, "dist/simulated/main.js"), ...process.argv.slice(2)], {
  stdio: "inherit",
});
process.exitCode = status ?? 1;
