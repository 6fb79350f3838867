/**
 * `npm run nightly`: what takes too long for `npm test`. Each step is a program of its own; words after `npm run nightly --`
 * name the steps to run. The exit code is 1 if any of them fails.
 */
import { spawnSync } from "node:child_process";
import { root } from "./build.ts";

interface Step {
  readonly name: string;
  /** What it shows. */
  readonly purpose: string;
  /** A TypeScript program, from the root of the repository, and its words. */
  readonly program: readonly string[];
}

const STEPS: readonly Step[] = [
  {
    name: "flips",
    purpose: "10,000 bytes that change on the way between ranks: no wrong value, no hang",
    program: ["test/integrity/programs/flips.ts", "10000"],
  },
  {
    name: "mnist",
    purpose: "digits learned by two Node ranks and two tabs: 95 % right, and with int8 gradients within 0.5 points",
    program: ["test/examples/programs/mnist.ts"],
  },
];

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !STEPS.some((step) => step.name === name));
if (unknown.length > 0) {
  console.error(`there is no step ${unknown.join(", ")}; the steps are ${STEPS.map(({ name }) => name).join(", ")}`);
  process.exit(2);
}
const failed: string[] = [];
for (const { name, purpose, program } of STEPS) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  console.log(`\n${name}: ${purpose}`);
  const { status } = spawnSync(process.execPath, ["--import", "tsx", ...program], { cwd: root, stdio: "inherit" });
  if (status !== 0) failed.push(name);
}
if (failed.length > 0) console.error(`\nfailed: ${failed.join(", ")}`);
process.exitCode = failed.length > 0 ? 1 : 0;
