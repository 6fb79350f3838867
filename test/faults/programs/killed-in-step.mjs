// A rank that trains with a Reducer. The victim kills itself in step 3, when its first bucket is under way and its second is not
// full. The others tell how that step and the next one end.
import { initProcessGroup } from "webccl";
import { Reducer } from "webccl/ddp";

const group = await initProcessGroup();
const COUNT = 1 << 20;
const parameters = [0, 1].map(() => ({ tensor: new Float32Array(COUNT), shape: [COUNT] }));
const bytes = 4 * COUNT;
const reducer = new Reducer({ group, parameters, bucketBytes: bytes, firstBucketBytes: bytes });

async function step(number) {
  const gradients = [0, 1].map(() => new Float32Array(COUNT).fill(group.rank + number));
  reducer.prepareForBackward();
  reducer.markReady(1, gradients[1]);
  if (number === 3 && group.rank === Number(process.env.VICTIM)) {
    process.send({ killedAt: Date.now() }, () => process.kill(process.pid, "SIGKILL"));
    await new Promise(() => {});
  }
  reducer.markReady(0, gradients[0]);
  await reducer.finalize();
  const mean = (group.size - 1) / 2 + number;
  if (gradients.some((gradient) => gradient[0] !== mean)) process.send({ wrong: gradients[0][0] });
}

for (let number = 0; number < 5; number++) {
  try {
    await step(number);
  } catch (error) {
    process.send({
      step: number,
      error: error.name,
      lost: error.rank,
      at: Date.now(),
      told: reducer.loggingData().error,
    });
  }
}
await group.destroy();
