// A tf.js training loop on several ranks: three lines differ from the loop of one process.
//
//   npx webccl run -n 2 examples/tfjs-training.ts
import * as tf from "@tensorflow/tfjs";
import { initProcessGroup } from "webccl";
import { broadcastVariables, distributed } from "webccl/tfjs";

const group = await initProcessGroup();
await tf.setBackend("cpu");

const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [2] })] });

/** Samples of y = 3a - 2b, others on each rank. */
function nextBatch() {
  const x = tf.randomUniform([32, 2], -1, 1);
  return { x, y: x.matMul(tf.tensor2d([3, -2], [2, 1])) };
}

function lossOf({ x, y }: ReturnType<typeof nextBatch>): tf.Scalar {
  return tf.losses.meanSquaredError(y, model.apply(x) as tf.Tensor).asScalar();
}

const optimizer = distributed(tf.train.adam(0.1), group); // 1: wrapped
await broadcastVariables(group, model.weights); // 2: added, all begin alike
for (let step = 0; step < 100; step++) {
  optimizer.minimize(() => lossOf(nextBatch()));
  await optimizer.settled(); // 3: added
}

const [kernel] = model.getWeights();
console.log(
  `rank ${group.rank} has the weights ${Array.from(await kernel!.data(), (w) => w.toFixed(2)).join(" and ")}`,
);
await group.destroy();
