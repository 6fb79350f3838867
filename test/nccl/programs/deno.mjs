// An allReduce over three devices of this process, in whichever runtime; prints what came out.
import * as nccl from "../../../native-nccl/index.js";

const tensors = await Promise.all(
  [0, 1, 2].map(async (device) => {
    const cuda = new nccl.DeviceBuffer(16, { device });
    await cuda.copyFrom(Float32Array.from({ length: 4 }, (_, i) => i + device));
    return { cuda, dtype: "f32" };
  }),
);
await nccl.allReduce(tensors);
const sum = new Float32Array(4);
await tensors[1].cuda.copyTo(sum);
for (const { cuda } of tensors) cuda.dispose();
while (nccl.alive().deviceMemories > 0) await new Promise((resolve) => setTimeout(resolve, 5));
console.log(JSON.stringify({ version: nccl.version(), sum: [...sum], deviceMemories: nccl.alive().deviceMemories }));
