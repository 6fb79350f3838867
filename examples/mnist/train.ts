/**
 * Data-parallel training of a digit reader, over processes and browser tabs:
 *
 *   npx webccl run -n 4 --browsers 2 examples/mnist/train.ts --html loss.html
 *
 * Rank 0 reads the digits and gives each rank its part. Each computes the gradients of its own batch; `distributed` averages
 * them before Adam applies them. The group is deterministic: four Node ranks have after each step the bits that one
 * process has which folds the four gradients in rank order.
 *
 * Options: --epochs 10, --steps all, --batch 16 (of each rank), --hook int8 (a quarter of the bytes, with error feedback),
 * --html FILE (the loss as a plot), --weights FILE (the trained weights, f32), --json (one line at the end).
 */
import * as tf from "@tensorflow/tfjs";
import { initProcessGroup } from "webccl";
import { Int8State, int8Hook, wireBytes } from "webccl/ddp";
import { broadcastVariables, distributed } from "webccl/tfjs";
import { lossPage } from "../shared/loss-page.ts";
import { progressOf } from "../shared/progress.ts";
import { PIXELS, readDigits, shardOf } from "./digits.ts";
import { accuracyOf, batches, lossOf, makeModel, makeOptimizer, variablesOf, weightsOf } from "./model.ts";
import { type Outcome, readSettings, sentenceOf } from "./report.ts";

const group = await initProcessGroup({ deterministic: true });
const { rank, size } = group;
await tf.setBackend("cpu");

const settings = await group.broadcastObject(rank === 0 ? await readSettings() : null);
if (!settings) throw new Error("rank 0 gave no settings");

// Rank 0 has the files; a tab has none.
const digits = rank === 0 ? await readDigits() : null;
const parts = digits && Array.from({ length: size }, (_, r) => shardOf(digits.train, r, size));
const images = await group.broadcastObject(parts?.[0]?.labels.length ?? 0);
const own = { images: new Uint8Array(images * PIXELS), labels: new Uint8Array(images) };
await group.scatter(own.images, parts?.map((part) => part.images) ?? null);
await group.scatter(own.labels, parts?.map((part) => part.labels) ?? null);

const model = makeModel();
const variables = variablesOf(model);
await broadcastVariables(group, variables);
const int8 = settings.hook === "int8" ? new Int8State({ group }) : null;
const optimizer = distributed(makeOptimizer(), group, int8 ? { commHook: (bucket) => int8Hook(int8, bucket) } : {});

const stepsPerEpoch = Math.floor(images / settings.batch);
const steps = Math.min(settings.steps, settings.epochs * stepsPerEpoch);
const show = rank === 0 && !settings.json ? progressOf(steps) : () => {};
const losses = new Float32Array(steps);
let step = 0;
let averagingMs = 0;
const start = performance.now();
for (let epoch = 0; step < steps; epoch++) {
  for (const batch of batches(own, settings.batch, 1000 * rank + epoch)) {
    if (step === steps) break;
    const loss = optimizer.minimize(() => lossOf(model, batch), true, variables);
    const computed = performance.now();
    await optimizer.settled();
    averagingMs += performance.now() - computed;
    losses[step++] = (await loss!.data())[0]!;
    loss!.dispose();
    show(step, losses[step - 1]!);
  }
}
const totalMs = performance.now() - start;
await group.allReduce(losses, { op: "avg" });

if (digits) {
  const count = model.countParams();
  const outcome: Outcome = {
    ...{ ranks: group.info().ranks.map(({ runtime }) => runtime), steps, losses: Array.from(losses) },
    ...{ accuracy: await accuracyOf(model, digits.test), msPerStep: totalMs / steps },
    ...{ bytesPerStep: wireBytes[int8 ? "int8" : "allReduce"](count, size), averagingShare: averagingMs / totalMs },
  };
  const { writeFile } = await import("node:fs/promises");
  if (settings.html) await writeFile(settings.html, lossPage(outcome.losses, sentenceOf(outcome)));
  if (settings.weights) await writeFile(settings.weights, new Uint8Array((await weightsOf(model)).buffer));
  if (settings.json) console.log(JSON.stringify(outcome));
  else {
    const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
    console.log(
      `${steps} steps on ${outcome.ranks.join(", ")}: ${percent(outcome.accuracy)} of the test digits are read rightly`,
    );
    console.log(
      `${outcome.msPerStep.toFixed(1)} ms a step, ${percent(outcome.averagingShare)} of it for averaging and waiting; ` +
        `all ranks together send ${outcome.bytesPerStep} bytes for ${4 * count} bytes of gradients`,
    );
  }
}
await group.destroy();
