/**
 * One rank of gpu-overlap.ts. In each round, on all ranks at once: an allReduce of a GPUBuffer, one of a host array, the
 * kernels of the first alone, and its readbacks and uploads alone. Sends the times, in milliseconds, to its parent.
 */

import { createWebgpuExecutor } from "../src/executor/webgpu/create-executor.ts";
import { initProcessGroup } from "../src/node/index.ts";
import { ReduceOp } from "../src/reduce-op.ts";
import { describe as viewOf } from "../src/tensor/describe.ts";

const [bytes, rounds, segmentBytes, segmentsInFlight] = process.argv.slice(2).map(Number) as [
  number,
  number,
  number,
  number,
];
const group = await initProcessGroup({
  backend: "webgpu",
  ...(segmentBytes > 0 ? { segmentBytes } : {}),
  ...(segmentsInFlight > 0 ? { segmentsInFlight } : {}),
});
const gpu = await createWebgpuExecutor({ device: group.device! });
const count = bytes / 4;
const share = count / group.size;
const segment = Math.min(share, group.info().segmentBytes / 4);
const tensor = gpu.alloc("f32", count);
const other = gpu.alloc("f32", count);
const [span, operand] = [gpu.span(viewOf(tensor)), gpu.span(viewOf(other))];
const host = group.alloc("f32", count);
const received = new Uint8Array(segment * 4);

/** The pieces of `elements` elements. */
function* segments(elements: number): Generator<[start: number, count: number]> {
  for (let start = 0; start < elements; start += segment) yield [start, Math.min(segment, elements - start)];
}

const parts = {
  gpu: () => group.allReduce(tensor),
  host: () => group.allReduce(host),
  /** As many folds as a ring has. */
  kernels: async () => {
    for (let step = 1; step < group.size; step++) {
      for (const [start, length] of segments(share)) {
        const [to, from] = [gpu.slice(span, start, length), gpu.slice(operand, start, length)];
        gpu.reduce(ReduceOp.SUM, to, to, from);
      }
    }
    await gpu.settled();
  },
  /** As many bytes down and up as a ring moves. */
  staging: async () => {
    for (let step = 0; step < 2 * (group.size - 1); step++) {
      const reads = [...segments(share)].map(async ([start, length]) => {
        (await gpu.read(gpu.slice(span, start, length))).release();
        const target = gpu.slice(operand, start, length);
        const lease = gpu.receive(target);
        lease.bytes.set(received.subarray(0, length * 4));
        gpu.write(target, lease);
      });
      await Promise.all(reads);
    }
    await gpu.settled();
  },
};

const times: Record<string, number[]> = { gpu: [], host: [], kernels: [], staging: [] };
for (let round = -2; round < rounds; round++) {
  for (const [name, run] of Object.entries(parts)) {
    gpu.fill(span, 0);
    await gpu.settled();
    await group.barrier();
    const start = performance.now();
    await run();
    if (round >= 0) times[name]!.push(performance.now() - start);
  }
}
process.send?.({ times });
await gpu.dispose();
await group.destroy();
