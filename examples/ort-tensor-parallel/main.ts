/**
 * A multilayer perceptron whose matrices are cut over the ranks. ONNX Runtime computes, webccl adds up.
 *
 *   npx webccl run -n 2 examples/ort-tensor-parallel/main.ts
 *
 * The model is y = relu(x · A + c) · B. Every rank has some columns of A and c, and the same rows of B; its output is a part
 * of the sum y, and one allReduce of y for each run makes it whole. The weights are inputs of the model, so that one file
 * serves all ranks. Rank 0 also computes the whole model alone, and compares.
 */
import { readFileSync } from "node:fs";
import * as ort from "onnxruntime-web";
import { initProcessGroup } from "webccl";
import { columnShard, type Member, rowShard, runRowParallel } from "webccl/ort";

const ROWS = 16;
const INPUT = 256;
const HIDDEN = 1024;
const OUTPUT = 64;
const RUNS = 20;

/** Weights that stand for trained ones: numbers between -scale and scale that repeat nowhere. */
const numbers = (count: number, phase: number, scale: number) =>
  Float32Array.from({ length: count }, (_, i) => scale * Math.sin(phase + 0.37 * i * i));

const WEIGHTS = {
  a: numbers(INPUT * HIDDEN, 1, INPUT ** -0.5),
  c: numbers(HIDDEN, 2, 0.1),
  b: numbers(HIDDEN * OUTPUT, 3, HIDDEN ** -0.5),
};

/** The share of `member`, as inputs of the model. */
function shareOf(member: Member) {
  const a = columnShard(WEIGHTS.a, [INPUT, HIDDEN], member);
  const c = columnShard(WEIGHTS.c, [HIDDEN], member);
  const b = rowShard(WEIGHTS.b, [HIDDEN, OUTPUT], member);
  return {
    a: new ort.Tensor("float32", a.data, a.dims),
    c: new ort.Tensor("float32", c.data, c.dims),
    b: new ort.Tensor("float32", b.data, b.dims),
  };
}

ort.env.wasm.numThreads = 1;
const group = await initProcessGroup();
const session = await ort.InferenceSession.create(readFileSync(new URL("mlp.onnx", import.meta.url)));
const weights = shareOf(group);

let greatest = 0;
let difference = 0;
for (let run = 0; run < RUNS; run++) {
  const x = new ort.Tensor("float32", numbers(ROWS * INPUT, 10 + run, 1), [ROWS, INPUT]);
  const { y } = await runRowParallel(group, session, { x, ...weights });
  if (group.rank > 0) continue;
  const alone = await session.run({ x, ...shareOf({ rank: 0, size: 1 }) });
  const [together, expected] = [y?.data as Float32Array, alone.y?.data as Float32Array];
  expected.forEach((one, i) => {
    greatest = Math.max(greatest, Math.abs(one));
    difference = Math.max(difference, Math.abs(one - (together[i] ?? Number.NaN)));
  });
}

const held = await group.allGatherObject(weights.a.size + weights.c.size + weights.b.size);
if (group.rank === 0) {
  const all = held.reduce((sum, count) => sum + count, 0);
  console.log(`the ranks hold ${held.join(" + ")} of ${all} weights`);
  console.log(`each run sums ${4 * ROWS * OUTPUT} bytes over ${group.size} ranks`);
  console.log(
    `${RUNS} runs differ from one process by ${(difference / greatest).toExponential(1)} of the greatest number`,
  );
  if (!(difference < 1e-5 * greatest)) process.exitCode = 1;
}
await group.destroy();
