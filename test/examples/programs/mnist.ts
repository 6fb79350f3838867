/**
 * `npm run nightly -- mnist`: the whole training of examples/mnist by two Node ranks and two tabs, with f32 gradients and
 * with int8 ones. The exit code is 1 if fewer than 95 % of the test digits are read rightly, or if int8 loses more than
 * 0.5 points or sends more than 30 % of the bytes.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Outcome } from "../../../examples/mnist/report.ts";
import { build, isBuilt } from "../../../scripts/build.ts";

const path = (name: string) => fileURLToPath(new URL(`../../../${name}`, import.meta.url));

function train(flags: readonly string[]): Outcome {
  const words = ["run", "-n", "4", "--browsers", "2", path("examples/mnist/train.ts"), "--json", ...flags];
  const { status, stdout } = spawnSync(process.execPath, [path("dist/cli/main.js"), ...words], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (status !== 0) throw new Error(`webccl run ended with code ${status}`);
  const outcome = JSON.parse(/\{.*\}/.exec(stdout)?.[0] ?? "") as Outcome;
  console.log(
    `${flags.join(" ") || "f32"}: ${(100 * outcome.accuracy).toFixed(2)} % right after ${outcome.steps} steps, ` +
      `${outcome.bytesPerStep} bytes a step, ${outcome.msPerStep.toFixed(1)} ms a step, ` +
      `${(100 * outcome.averagingShare).toFixed(0)} % of them for averaging and waiting`,
  );
  return outcome;
}

if (!isBuilt()) await build();
const [f32, int8] = [train([]), train(["--hook", "int8"])];
const holds = {
  "95 % of the digits are read rightly": f32.accuracy >= 0.95,
  "int8 is within 0.5 points": int8.accuracy >= f32.accuracy - 0.005,
  "int8 sends at most 30 % of the bytes": int8.bytesPerStep <= 0.3 * f32.bytesPerStep,
};
for (const [claim, isSo] of Object.entries(holds)) console.log(`${isSo ? "holds" : "FAILS"}: ${claim}`);
process.exitCode = Object.values(holds).every(Boolean) ? 0 : 1;
