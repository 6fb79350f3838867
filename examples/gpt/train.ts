/**
 * Data-parallel training of a small GPT on Shakespeare's sonnets, over processes and browser tabs:
 *
 *   npx webccl run -n 4 --browsers 2 examples/gpt/train.ts --html loss.html
 *
 * Each rank computes the gradients of its share of a step's pieces; `distributed` averages them before Adam applies them.
 * The pieces of a step do not depend on the number of ranks, so 4 ranks see in N steps the samples that 1 rank sees. The group
 * is deterministic: Node ranks have after each step the bits that one process has which folds their gradients in rank order.
 * serve.ts is the same training on a page that anybody may open; generate.ts runs the trained model over several ranks.
 *
 * Options: --steps 400, --batch 8 (pieces of 32 characters, of all ranks together), --seed 1, --test-every 25, --sample 200
 * (characters that it writes at the end), --html FILE (the loss as a plot), --weights FILE (safetensors), --onnx FILE (the
 * model, for generate.ts), --json (one line at the end).
 */
import * as tf from "@tensorflow/tfjs";
import { initProcessGroup } from "webccl";
import { wireBytes } from "webccl/ddp";
import { broadcastVariables, distributed } from "webccl/tfjs";
import { lossPage } from "../shared/loss-page.ts";
import { progressOf } from "../shared/progress.ts";
import { randomOf } from "../shared/random.ts";
import { lossOf, makeOptimizer, makeWeights, nextCharacter } from "./model.ts";
import { type Outcome, readSettings, sentenceOf } from "./report.ts";
import { SHAPE } from "./shape.ts";
import { batchOf, decode, encode, testBatch } from "./text.ts";
import { numbersOf, weightsFile } from "./weights.ts";

const TEST_PIECES = 64;

const group = await initProcessGroup({ deterministic: true });
const { rank, size } = group;
await tf.setBackend("cpu");

const settings = await group.broadcastObject(rank === 0 ? await readSettings(size) : null);
if (!settings) throw new Error("rank 0 gave no settings");
const { steps, batch, seed, testEvery } = settings;

const weights = makeWeights(SHAPE, seed);
const variables = Object.values(weights);
await broadcastVariables(group, variables);
const optimizer = distributed(makeOptimizer(), group);

const show = rank === 0 && !settings.json ? progressOf(steps) : () => {};
const losses = new Float32Array(steps);
const tests: Outcome["tests"] = [];
let [totalMs, averagingMs] = [0, 0];
for (let step = 0; step < steps; step++) {
  const start = performance.now();
  const own = batchOf(group, { batch, length: SHAPE.context, seed, step });
  const loss = optimizer.minimize(() => lossOf(SHAPE, weights, own), true, variables);
  const computed = performance.now();
  await optimizer.settled();
  const end = performance.now();
  averagingMs += end - computed;
  totalMs += end - start;
  losses[step] = (await loss!.data())[0]!;
  loss!.dispose();
  show(step + 1, losses[step]!);
  const samples = (step + 1) * batch;
  if (rank === 0 && ((step + 1) % testEvery === 0 || step + 1 === steps)) {
    const tested = tf.tidy(() => lossOf(SHAPE, weights, testBatch(TEST_PIECES, SHAPE.context)));
    tests.push({ samples, loss: (await tested.data())[0]! });
    tested.dispose();
  }
}
await group.allReduce(losses, { op: "avg" });

if (rank === 0) {
  const text = encode("\n");
  const random = randomOf(seed);
  while (text.length <= settings.sample) text.push(await nextCharacter(SHAPE, weights, text, 0.8, random));
  const count = variables.reduce((sum, variable) => sum + variable.size, 0);
  const outcome: Outcome = {
    ...{ ranks: group.info().ranks.map(({ runtime }) => runtime), steps, samples: steps * batch },
    ...{ losses: Array.from(losses), tests, msPerStep: totalMs / steps, text: decode(text).slice(1) },
    ...{ bytesPerStep: wireBytes.allReduce(count, size), averagingShare: averagingMs / totalMs },
  };
  const { writeFile } = await import("node:fs/promises");
  if (settings.html) await writeFile(settings.html, lossPage(outcome.losses, sentenceOf(outcome)));
  if (settings.weights) await writeFile(settings.weights, await weightsFile(SHAPE, weights));
  if (settings.onnx) {
    const { wholeModel } = await import("./onnx/export.ts");
    await writeFile(settings.onnx, wholeModel(SHAPE, await numbersOf(weights)));
  }
  if (settings.json) console.log(JSON.stringify(outcome));
  else {
    console.log(`${sentenceOf(outcome)}. It writes:\n\n${outcome.text}\n`);
    console.log(
      `${outcome.msPerStep.toFixed(1)} ms a step, ${(100 * outcome.averagingShare).toFixed(1)} % of it for averaging and waiting; ` +
        `all ranks together send ${outcome.bytesPerStep} bytes for ${4 * count} bytes of gradients`,
    );
  }
}
await group.destroy();
