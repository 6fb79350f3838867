/**
 * Makes and disposes of executors, on one device of the caller and on devices of their own, and prints how many buffers were
 * left. Nothing ends the process but that there is nothing more to do.
 */

import { createWebgpuExecutor } from "../../../src/executor/webgpu/create-executor.ts";
import { ReduceOp } from "../../../src/reduce-op.ts";
import { describe as viewOf } from "../../../src/tensor/describe.ts";
import { defaultDevice, testGpu } from "../../helpers/gpu.ts";

async function round(options: Parameters<typeof createWebgpuExecutor>[0]): Promise<number> {
  const executor = await createWebgpuExecutor(options);
  const tensor = executor.alloc("f32", 10_000);
  const span = executor.span(viewOf(tensor));
  executor.fill(span, 1);
  executor.reduce(ReduceOp.SUM, span, span, span);
  const lease = await executor.read(span);
  const [first] = new Float32Array(lease.bytes.buffer, lease.bytes.byteOffset, 1);
  lease.release();
  if (first !== 2) throw new Error(`1 + 1 = ${first}`);
  await executor.settled();
  await executor.dispose();
  tensor.buffer.destroy();
  return executor.stats.liveBuffers;
}

const device = await defaultDevice();
const left = new Set<number>();
for (let i = 0; i < 200; i++) left.add(await round({ device }));
device.destroy();
const gpu = await testGpu();
for (let i = 0; i < 5; i++) left.add(await round({ gpu }));
console.log(JSON.stringify([...left]));
