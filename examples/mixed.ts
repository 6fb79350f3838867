// One group of Node, Deno and browser ranks: they average a tensor, and checksums show that all have the same bits.
//
//   npx webccl run -n 4 --browsers 2 --deno 1 examples/mixed.ts
import { initProcessGroup } from "webccl";

const group = await initProcessGroup();
const { ranks } = group.info();
const mine = ranks[group.rank]!;

// The same bits on every rank, whatever it runs in.
const tensor = Float32Array.from({ length: 1_000_000 }, (_, i) => (i % 1000) / 7 + group.rank);
const start = performance.now();
await group.allReduce(tensor, { op: "avg" });
const milliseconds = (performance.now() - start).toFixed(1);
const bits = new Uint32Array(tensor.buffer, tensor.byteOffset, tensor.length).reduce(
  (sum, word) => (sum + word) >>> 0,
  0,
);

console.log(`rank ${group.rank} in ${mine.runtime}: ${milliseconds} ms, checksum ${bits.toString(16)}`);
const checksums = await group.allGatherObject(bits);
if (group.rank === 0) {
  const runtimes = ranks.map(({ runtime }) => runtime).join(", ");
  console.log(`${runtimes}: ${new Set(checksums).size === 1 ? "all equal" : "DIFFERENT"}`);
}
await group.destroy();
