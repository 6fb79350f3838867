import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { initProcessGroup } from "webccl";
import { lossOf, makeOptimizer, makeWeights } from "../../examples/gpt/model.ts";
import { type Outcome, sentenceOf } from "../../examples/gpt/report.ts";
import { SHAPE } from "../../examples/gpt/shape.ts";
import { batchOf, decode, encode } from "../../examples/gpt/text.ts";
import { TrainingState } from "../../examples/gpt/training-state.ts";
import { numbersOf, readWeights } from "../../examples/gpt/weights.ts";
import { lossPage } from "../../examples/shared/loss-page.ts";
import { build, isBuilt } from "../../scripts/build.ts";
import { start } from "../cli/command.ts";
import { temporaryFolder } from "../helpers/temporary-folder.ts";
import { applyFolded } from "./folded.ts";

const TRAIN = fileURLToPath(new URL("../../examples/gpt/train.ts", import.meta.url));
const [STEPS, BATCH, SEED] = [4, 4, 7];

beforeAll(async () => {
  if (!isBuilt()) await build();
  await tf.setBackend("cpu");
}, 120_000);

/** All numbers, one behind the other. */
const joined = (numbers: Record<string, { tensor: Float32Array }>) =>
  Float32Array.from(Object.values(numbers).flatMap(({ tensor }) => Array.from(tensor)));

/** The weights after the steps that one process makes, with the gradients of `ranks` shares folded in rank order. */
async function alone(ranks: number): Promise<{ weights: Float32Array; losses: number[] }> {
  const weights = makeWeights(SHAPE, SEED);
  const variables = Object.values(weights);
  const optimizer = makeOptimizer();
  const losses: number[] = [];
  for (let step = 0; step < STEPS; step++) {
    const parts = Array.from({ length: ranks }, (_, rank) => {
      const batch = batchOf({ rank, size: ranks }, { batch: BATCH, length: SHAPE.context, seed: SEED, step });
      return tf.variableGrads(() => lossOf(SHAPE, weights, batch), variables);
    });
    losses.push(parts.reduce((sum, { value }) => sum + value.dataSync()[0]! / ranks, 0));
    applyFolded(optimizer, variables, parts);
  }
  return { weights: joined(await numbersOf(weights)), losses };
}

/** The same steps by ranks. */
async function together(ranks: number, flags: readonly string[]) {
  const folder = temporaryFolder();
  const [file, html] = [join(folder, "gpt.safetensors"), join(folder, "loss.html")];
  const numbers = { steps: STEPS, batch: BATCH, seed: SEED, sample: 10 };
  const options = Object.entries(numbers).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const words = ["run", "-n", String(ranks), ...flags, TRAIN, ...options, "--json", "--weights", file, "--html", html];
  const { code, stdout, stderr } = await start(words).ended;
  expect({ code, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stderr: "" });
  const outcome = JSON.parse(/\{.*\}/.exec(stdout)?.[0] ?? "") as Outcome;
  const { shape, numbers: weights } = readWeights(readFileSync(file));
  expect(shape).toEqual(SHAPE);
  return { weights: joined(weights), outcome, page: readFileSync(html, "utf8") };
}

const farthest = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

describe("examples/gpt/train.ts", { timeout: 240_000 }, () => {
  it("has on four Node ranks the bits of one process", async () => {
    const [one, many] = [await alone(4), await together(4, [])];
    expect(many.weights.length).toBe(one.weights.length);
    expect(Buffer.from(many.weights.buffer).equals(Buffer.from(one.weights.buffer))).toBe(true);
    expect(farthest(many.outcome.losses, one.losses)).toBeLessThan(1e-6);
    const { ranks: runtimes, steps, samples, tests, text, losses } = many.outcome;
    expect({ runtimes, steps, samples }).toEqual({ runtimes: Array(4).fill("node"), steps: 4, samples: 16 });
    expect(losses.at(-1)).toBeLessThan(losses[0]!);
    expect(tests).toEqual([{ samples: 16, loss: expect.any(Number) }]);
    expect(decode(encode(text))).toHaveLength(10);
    expect(many.page).toBe(lossPage(losses, sentenceOf(many.outcome)));
  });

  it("comes within 1e-5 of that with a rank in a tab", async () => {
    const [one, two] = [await alone(2), await together(2, ["--browsers", "1"])];
    expect(two.outcome.ranks).toEqual(["node", "browser"]);
    expect(farthest(two.weights, one.weights)).toBeLessThan(1e-5);
  });

  it("needs a batch that the ranks share evenly", async () => {
    const { code, stdout, stderr } = await start(["run", "-n", "2", TRAIN, "--batch", "3"]).ended;
    expect(code).toBe(1);
    expect(stdout + stderr).toContain("--batch must be a multiple of the 2 ranks, got 3");
  });
});

describe("TrainingState", () => {
  const numbers = async ({ weights }: TrainingState) => Array.from(joined(await numbersOf(weights)));
  const step = (state: TrainingState) => {
    const { length } = state.losses;
    const batch = batchOf({ rank: 0, size: 1 }, { batch: 1, length: SHAPE.context, seed: SEED, step: length });
    const loss = state.optimizer.minimize(() => lossOf(SHAPE, state.weights, batch), true, state.variables);
    state.losses.push(loss!.dataSync()[0]!);
    state.samples++;
    loss!.dispose();
  };
  /** Shares the states in a new group of as many ranks, and resolves to the rank whose state all have. */
  async function share(states: readonly TrainingState[], name: string): Promise<number[]> {
    const options = { initMethod: `memory://${name}`, worldSize: states.length };
    return Promise.all(
      states.map(async (state, rank) => {
        const group = await initProcessGroup({ ...options, rank });
        const root = await state.share(group);
        await group.destroy();
        return root;
      }),
    );
  }

  it("goes on in a new group where the rank was that had come furthest, Adam's moments included", async () => {
    const [behind, ahead, alone] = [new TrainingState(SHAPE), new TrainingState(SHAPE), new TrainingState(SHAPE)];
    expect(await share([behind, ahead], "no-step")).toEqual([0, 0]);
    step(behind);
    for (const state of [ahead, alone]) for (let i = 0; i < 3; i++) step(state);
    const before = tf.memory().numTensors;
    expect(await share([behind, ahead], "three-steps")).toEqual([1, 1]);
    // The moments of the newcomer, which had one step, are there already.
    expect(tf.memory().numTensors).toBe(before);
    for (const state of [behind, ahead]) {
      expect(await numbers(state)).toEqual(await numbers(alone));
      expect({ losses: state.losses, samples: state.samples }).toEqual({ losses: expect.any(Array), samples: 3 });
      expect(farthest(state.losses, alone.losses)).toBe(0);
    }
    for (const state of [behind, ahead, alone]) step(state);
    expect(await numbers(behind)).toEqual(await numbers(ahead));
    // Adam's bias correction is a power when it is restored, and a product of factors otherwise.
    expect(farthest(await numbers(behind), await numbers(alone))).toBeLessThan(1e-6);
  });
});
