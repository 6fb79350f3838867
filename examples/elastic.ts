/**
 * Elastic training: a logistic regression that goes on when a rank is killed, and takes in a rank that comes.
 *
 *   npx webccl run -n 4 --max-restarts 2 examples/elastic.ts 2 60       (--no-kill in place of --max-restarts: nobody is started again)
 *   npx webccl run --nnodes 1:4 --node-rank 0 --rdzv-endpoint 10.0.0.1:29500 -n 4 …      (on several hosts: docs/several-hosts.md)
 *
 * With the two numbers, rank 2 kills itself at step 60; the others go on with three ranks, the command starts it again, and it
 * joins. Whenever the group is a new one, its rank 0, which has been there longest, broadcasts the state, and all compare a hash.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { initProcessGroup, PeerLostError, type ProcessGroup, TimeoutError } from "webccl";

const [POINTS, FEATURES, STEPS, RATE, WORK_MS] = [960, 4, 240, 1, 10];
const [victim, dyingStep] = process.argv.slice(2).map(Number);

/** Points on a fixed lattice in the cube from -1 to 1, and on which side of a plane each lies. */
const inputs = Array.from({ length: POINTS }, (_, i) =>
  Float32Array.from({ length: FEATURES }, (_, k) => 2 * (((i + 1) * Math.SQRT2 * (k + 1) ** 1.5) % 1) - 1),
);
const labels = inputs.map((x) => (2 * x[0]! - x[1]! + 0.5 * x[2]! + 0.25 > 0 ? 1 : 0));

/** The number of steps made, the weights and the bias. */
const state = new Float32Array(1 + FEATURES + 1);
const predict = (x: Float32Array) =>
  1 / (1 + Math.exp(-x.reduce((sum, value, k) => sum + value * state[1 + k]!, state[1 + FEATURES]!)));

/** The sum of the gradients of this rank's points. */
function gradientsOf({ rank, size }: ProcessGroup): Float32Array {
  const gradients = new Float32Array(FEATURES + 1);
  for (let i = rank; i < POINTS; i += size) {
    const x = inputs[i]!;
    const error = predict(x) - labels[i]!;
    for (const [k, value] of x.entries()) gradients[k]! += error * value;
    gradients[FEATURES]! += error;
  }
  return gradients;
}

/** All ranks go on from the state of rank 0. */
async function agreeOnState(group: ProcessGroup): Promise<void> {
  await group.broadcast(state);
  const hash = Buffer.from(await crypto.subtle.digest("SHA-256", state)).toString("hex");
  const hashes = await group.allGatherObject(hash);
  if (new Set(hashes).size !== 1) throw new Error(`the ranks of epoch ${group.epoch} have different states`);
  if (group.rank === 0) console.log(`epoch ${group.epoch}: ${group.size} ranks at step ${state[0]}, with one state`);
}

let group = await initProcessGroup({ timeoutMs: 30_000 });
let isNew = true;
while (isNew || state[0]! < STEPS) {
  try {
    if (isNew) await agreeOnState(group);
    isNew = false;
    if (group.epoch === 0 && group.rank === victim && state[0] === dyingStep) process.kill(process.pid, "SIGKILL");
    const gradients = gradientsOf(group);
    await sleep(WORK_MS); // The work of a larger model.
    await group.allReduce(gradients);
    for (const [k, slope] of gradients.entries()) state[1 + k]! -= (RATE * slope) / POINTS;
    state[0]! += 1;
    const next = await group.admit();
    isNew = next !== group;
    group = next;
  } catch (error) {
    if (!(error instanceof PeerLostError || error instanceof TimeoutError)) throw error;
    console.log(`rank ${group.rank} of epoch ${group.epoch}: ${error.message}`);
    group = await group.shrink();
    isNew = true;
  }
}
const right = inputs.filter((x, i) => Math.round(predict(x)) === labels[i]).length;
console.log(
  `rank ${group.rank} of ${group.size}, epoch ${group.epoch}: ${((100 * right) / POINTS).toFixed(1)} % right`,
);
await group.destroy();
