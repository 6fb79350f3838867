import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { type Digits, readDigits, shardOf } from "../../examples/mnist/digits.ts";
import { batches, lossOf, makeModel, makeOptimizer, variablesOf, weightsOf } from "../../examples/mnist/model.ts";
import { type Outcome, sentenceOf } from "../../examples/mnist/report.ts";
import { lossPage } from "../../examples/shared/loss-page.ts";
import { build, isBuilt } from "../../scripts/build.ts";
import { start } from "../cli/command.ts";
import { temporaryFolder } from "../helpers/temporary-folder.ts";
import { applyFolded } from "./folded.ts";

const TRAIN = fileURLToPath(new URL("../../examples/mnist/train.ts", import.meta.url));
const [RANKS, STEPS, BATCH] = [4, 20, 16];

let digits: { train: Digits; test: Digits };

beforeAll(async () => {
  if (!isBuilt()) await build();
  await tf.setBackend("cpu");
  digits = await readDigits();
}, 120_000);

/** The weights after the steps that one process makes, with the four shards' gradients folded in rank order. */
async function alone(): Promise<{ weights: Float32Array; losses: number[] }> {
  const model = makeModel();
  const variables = variablesOf(model);
  const optimizer = makeOptimizer();
  const streams = Array.from({ length: RANKS }, (_, r) => batches(shardOf(digits.train, r, RANKS), BATCH, 1000 * r));
  const losses: number[] = [];
  for (let step = 0; step < STEPS; step++) {
    const parts = streams.map((stream) => tf.variableGrads(() => lossOf(model, stream.next().value), variables));
    losses.push(parts.reduce((sum, { value }) => sum + value.dataSync()[0]! / RANKS, 0));
    applyFolded(optimizer, variables, parts);
  }
  return { weights: await weightsOf(model), losses };
}

/** What four ranks make of the same steps. */
async function together(flags: readonly string[]): Promise<{ weights: Float32Array; outcome: Outcome; page: string }> {
  const folder = temporaryFolder();
  const [weights, html] = [join(folder, "weights"), join(folder, "loss.html")];
  const words = ["run", "-n", String(RANKS), ...flags, TRAIN, "--steps", String(STEPS), "--batch", String(BATCH)];
  const { code, stdout, stderr } = await start([...words, "--json", "--weights", weights, "--html", html]).ended;
  expect({ code, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stderr: "" });
  const outcome = JSON.parse(/\{.*\}/.exec(stdout)?.[0] ?? "") as Outcome;
  const bytes = readFileSync(weights);
  const copy = Float32Array.from(new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4));
  return { weights: copy, outcome, page: readFileSync(html, "utf8") };
}

const farthest = (a: Float32Array, b: Float32Array) => a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

describe("examples/mnist", () => {
  it("has on four Node ranks the bits of one process", { timeout: 240_000 }, async () => {
    const [one, four] = [await alone(), await together([])];
    expect(four.weights.length).toBe(one.weights.length);
    expect(Buffer.from(four.weights.buffer).equals(Buffer.from(one.weights.buffer))).toBe(true);
    expect(farthest(Float32Array.from(four.outcome.losses), Float32Array.from(one.losses))).toBeLessThan(1e-6);
    const { ranks, steps, accuracy, losses } = four.outcome;
    expect({ ranks, steps }).toEqual({ ranks: Array(RANKS).fill("node"), steps: STEPS });
    expect(accuracy).toBeGreaterThan(0.6);
    expect(losses.at(-1)).toBeLessThan(losses[0]! / 2);
    expect(four.page).toBe(lossPage(four.outcome.losses, sentenceOf(four.outcome)));
    expect(four.page).toContain("<polyline");
  });

  it("comes within 1e-5 of that with two ranks in tabs", { timeout: 240_000 }, async () => {
    const [one, four] = [await alone(), await together(["--browsers", "2"])];
    expect([...four.outcome.ranks].sort()).toEqual(["browser", "browser", "node", "node"]);
    expect(four.weights.length).toBe(one.weights.length);
    expect(farthest(four.weights, one.weights)).toBeLessThan(1e-5);
  });
});
