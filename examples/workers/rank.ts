// What each rank does: its module runs to the end, and what it posts last goes to the page.
import { initProcessGroup } from "webccl";

const group = await initProcessGroup({ backend: "cpu" });

// Memory that all ranks see: their kernels read each other's tensors where they are.
const tensor = group.alloc("f32", 1_000_000) as Float32Array;
tensor.fill(group.rank + 1);
const start = performance.now();
await group.allReduce(tensor);
const milliseconds = (performance.now() - start).toFixed(2);

await group.destroy();
postMessage(`rank ${group.rank} of ${group.size}: ${tensor[0]} in ${milliseconds} ms`);
