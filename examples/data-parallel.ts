/**
 * Data-parallel training on plain typed arrays: a logistic regression, whose ranks each have a share of the points.
 *
 *   npx webccl run -n 2 examples/data-parallel.ts
 *
 * Every rank computes the gradients of its own points, the Reducer averages them, and every rank takes the same step; so all
 * ranks keep the same weights, and they are those that one process would find with all the points.
 */
import { initProcessGroup } from "webccl";
import { Reducer } from "webccl/ddp";

const [POINTS, FEATURES, STEPS, RATE] = [960, 4, 200, 1];

/** Points on a fixed lattice in the cube from -1 to 1, and on which side of a plane each lies. */
const inputs = Array.from({ length: POINTS }, (_, i) =>
  Float32Array.from({ length: FEATURES }, (_, k) => 2 * (((i + 1) * Math.SQRT2 * (k + 1) ** 1.5) % 1) - 1),
);
const labels = inputs.map((x) => (2 * x[0]! - x[1]! + 0.5 * x[2]! + 0.25 > 0 ? 1 : 0));

const group = await initProcessGroup();
const mine = inputs.flatMap((x, i) => (i % group.size === group.rank ? [{ x, label: labels[i]! }] : []));

const weights = new Float32Array(FEATURES);
const bias = new Float32Array(1);
const reducer = new Reducer({
  group,
  parameters: [
    { name: "weights", tensor: weights, shape: [FEATURES] },
    { name: "bias", tensor: bias, shape: [1] },
  ],
});

const predict = (x: Float32Array) =>
  1 / (1 + Math.exp(-x.reduce((sum, value, k) => sum + value * weights[k]!, bias[0]!)));

for (let step = 0; step < STEPS; step++) {
  const gradients = [new Float32Array(FEATURES), new Float32Array(1)] as const;
  for (const { x, label } of mine) {
    const error = (predict(x) - label) / mine.length;
    for (const [k, value] of x.entries()) gradients[0][k]! += error * value;
    gradients[1][0]! += error;
  }
  reducer.prepareForBackward();
  reducer.markReady(1, gradients[1]);
  reducer.markReady(0, gradients[0]);
  await reducer.finalize(); // Both gradients are the averages of all ranks now.
  for (const [k, slope] of gradients[0].entries()) weights[k]! -= RATE * slope;
  bias[0]! -= RATE * gradients[1][0]!;
}

const right = inputs.filter((x, i) => Math.round(predict(x)) === labels[i]).length;
console.log(
  `rank ${group.rank} of ${group.size}: ${((100 * right) / POINTS).toFixed(1)} % right, ` +
    `weights ${[...weights, ...bias].map((value) => value.toFixed(3)).join(" ")}`,
);
await group.destroy();
