/**
 * `npm test`: sees that the system packages are here, builds, then runs the tests. `npm run matrix` runs those in which browsers,
 * Deno, several runtimes, NCCL or the commands take part. Words after `npm test --` go to vitest; with a word that names files, tests of both run.
 *
 * With CI=true a test that was skipped is a failure. The counts are left in test-results/tests.json and test-results/matrix.json.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { build, isBuilt, root } from "./build.ts";
import { ensureSystemPackages } from "./system-packages.ts";

/** The projects of vite.config.ts that each command runs. */
const PROJECTS = { tests: ["node", "faults"], matrix: ["matrix", "browser", "alone"] };

const [first, ...rest] = process.argv.slice(2);
const command = first === "--matrix" ? "matrix" : "tests";
const words = command === "matrix" ? rest : process.argv.slice(2);
const namesFiles = words.some((word) => !word.startsWith("-"));
const results = join(root, "test-results", `${command}.json`);
const isJson = words.includes("--json");

if (words.includes("--help")) {
  console.log(`npm ${command === "tests" ? "test" : "run matrix"} -- [files] [options of vitest run]
  --json    prints the counts and each test's outcome as JSON, which test-results/${command}.json has in any case
  -t NAME   the tests whose name matches; npx vitest run --help lists all options of vitest`);
  process.exit(0);
}

/** Tests that did not run. */
function skipped(): number {
  const { numPendingTests, numTodoTests } = JSON.parse(readFileSync(results, "utf8"));
  return numPendingTests + numTodoTests;
}

ensureSystemPackages(namesFiles ? "matrix" : command);
if (!isBuilt()) await build();

mkdirSync(dirname(results), { recursive: true });
const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${results}`];
const projects = namesFiles ? [] : PROJECTS[command].map((project) => `--project=${project}`);
const { status } = spawnSync(
  process.execPath,
  [vitest, "run", ...reporters, ...projects, ...words.filter((word) => word !== "--json")],
  {
    cwd: root,
    stdio: ["inherit", isJson ? 2 : "inherit", "inherit"],
  },
);
if (isJson) process.stdout.write(readFileSync(results, "utf8"));
if (status !== 0) process.exit(status ?? 1);
if (process.env.CI === "true" && skipped() > 0) {
  console.error(`${skipped()} tests were skipped, which CI counts as failures`);
  process.exit(1);
}
