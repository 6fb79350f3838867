// The smallest program: every rank gets the sum of all ranks' tensors, and rank 0 counts the ranks that met.
//
//   npx webccl run -n 4 examples/all-reduce.ts
import { initProcessGroup } from "webccl";

const group = await initProcessGroup();

const tensor = Float32Array.of(1, 10, 100).map((value) => value * (group.rank + 1));
await group.allReduce(tensor);
console.log(`rank ${group.rank} of ${group.size} has the sum ${tensor.join(" ")}`);

const names = await group.allGatherObject(`process ${process.pid}`);
if (group.rank === 0) console.log(`${names.length} ranks met`);

await group.destroy();
