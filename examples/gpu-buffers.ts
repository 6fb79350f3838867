// GPUBuffers are reduced where they are, by WGSL kernels. Node needs the package `webgpu`; Deno and browsers have WebGPU built in.
//
//   npx webccl run -n 2 examples/gpu-buffers.ts
import { GPUBufferUsage, initProcessGroup } from "webccl";

const group = await initProcessGroup({ backend: "webgpu" });
const { STORAGE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
const buffer = group.device!.createBuffer({ size: 4096, usage: STORAGE | COPY_SRC | COPY_DST });
group.device!.queue.writeBuffer(buffer, 0, new Float32Array(1024).fill(group.rank + 1));
await group.allReduce({ buffer, dtype: "f32" });

const readable = group.device!.createBuffer({ size: 4096, usage: COPY_DST | MAP_READ });
const encoder = group.device!.createCommandEncoder();
encoder.copyBufferToBuffer(buffer, 0, readable, 0, 4096);
group.device!.queue.submit([encoder.finish()]);
await readable.mapAsync(1);
const [sum] = new Float32Array(readable.getMappedRange());
console.log(`rank ${group.rank} of ${group.size} has the sum ${sum} in a GPUBuffer`);
await group.destroy();
