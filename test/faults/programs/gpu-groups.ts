/**
 * 200 times: two ranks on one device, an allReduce, and their end. Prints how many buffers more there are than before.
 * Nothing ends the process but that there is nothing more to do.
 */

import { GPUBufferUsage, TENSOR_USAGE } from "../../../src/executor/webgpu/usage.ts";
import { initProcessGroup } from "../../../src/node/index.ts";
import { defaultDevice } from "../../helpers/gpu.ts";

const ROUNDS = 200;
const COUNT = 10_000;
const device = await defaultDevice();
let live = 0;
const createBuffer = device.createBuffer.bind(device);
device.createBuffer = (descriptor) => {
  const buffer = createBuffer(descriptor);
  const destroy = buffer.destroy.bind(buffer);
  live++;
  buffer.destroy = () => {
    live--;
    return destroy();
  };
  return buffer;
};

const sums = new Set<number>();
for (let round = 0; round < ROUNDS; round++) {
  const groups = await Promise.all(
    [0, 1].map((rank) => initProcessGroup({ initMethod: `memory://round-${round}`, rank, worldSize: 2, device })),
  );
  const tensors = groups.map(() => {
    const buffer = createBuffer({ size: 4 * COUNT, usage: TENSOR_USAGE });
    device.queue.writeBuffer(buffer, 0, new Float32Array(COUNT).fill(1));
    return { buffer, dtype: "f32" as const };
  });
  await Promise.all(groups.map((group, i) => group.allReduce(tensors[i]!)));
  if (round % 20 === 0) sums.add(await lastOf(tensors[1]!.buffer));
  await Promise.all(groups.map((group) => group.destroy()));
  for (const { buffer } of tensors) buffer.destroy();
}
console.log(JSON.stringify({ rounds: ROUNDS, sums: [...sums], left: live }));
device.destroy();

async function lastOf(buffer: GPUBuffer): Promise<number> {
  const staging = createBuffer({ size: 4, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, buffer.size - 4, staging, 0, 4);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(1);
  const [value] = new Float32Array(staging.getMappedRange());
  staging.destroy();
  return value!;
}
