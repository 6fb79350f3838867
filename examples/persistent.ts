// A persistent call: the allReduce is checked, planned and compared between the ranks once, and then started for every step.
//
//   npx webccl run -n 2 --threads examples/persistent.ts
import { initProcessGroup } from "webccl";

const group = await initProcessGroup();

const gradients = group.alloc("f32", 16);
const average = group.persistent.allReduce(gradients, { op: "avg" });
await average.ready;

let total = 0;
for (let step = 0; step < 1000; step++) {
  // The elements are this program's own until the next start.
  gradients.fill(step + group.rank);
  await average.start();
  total += gradients[0] ?? 0;
}
average.free();

console.log(`rank ${group.rank} of ${group.size}: the averages of 1000 steps add up to ${total}`);
await group.destroy();
