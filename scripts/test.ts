/**
 * `npm test`: sees that the system packages are here, builds, then runs every test; words after `npm test --` go to vitest.
 *
 * With CI=true a test that was skipped is a failure. The counts are left in test-results/vitest.json.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { build, isBuilt, root } from "./build.ts";
import { ensureSystemPackages } from "./system-packages.ts";

const results = join(root, "test-results", "vitest.json");

/** Tests that did not run. */
function skipped(): number {
  const { numPendingTests, numTodoTests } = JSON.parse(readFileSync(results, "utf8"));
  return numPendingTests + numTodoTests;
}

ensureSystemPackages();
if (!isBuilt()) build();

mkdirSync(dirname(results), { recursive: true });
const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${results}`];
const { status } = spawnSync(process.execPath, [vitest, "run", ...reporters, ...process.argv.slice(2)], {
  cwd: root,
  stdio: "inherit",
});
if (status !== 0) process.exit(status ?? 1);
if (process.env.CI === "true" && skipped() > 0) {
  console.error(`${skipped()} tests were skipped, which CI counts as failures`);
  process.exit(1);
}
