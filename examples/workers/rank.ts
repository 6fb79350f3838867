// The program of each rank: all ranks reduce a tensor in the memory that they share, and each posts its result.
// page.ts starts the ranks:
//
//   npm run build && npx vite examples/workers
import { initProcessGroup } from "webccl";

const group = await initProcessGroup({ backend: "cpu" });

// Memory that all ranks share: each rank's kernels read the others' tensors directly.
const tensor = group.alloc("f32", 1_000_000);
tensor.fill(group.rank + 1);
const start = performance.now();
await group.allReduce(tensor);
const milliseconds = (performance.now() - start).toFixed(2);

await group.destroy();
postMessage(`rank ${group.rank} of ${group.size}: ${tensor[0]} in ${milliseconds} ms`);
