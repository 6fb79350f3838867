/** Three threads add 256, 1 and 1 as bf16, in f32: 258. Each prints the elements' bits. */
import { initProcessGroup } from "webccl";

const group = await initProcessGroup();
const data = new Uint16Array(70_001).fill(group.rank === 0 ? 0x4380 : 0x3f80);
await group.allReduce({ dtype: "bf16", data }, { accumulate: "f32" });
const bits = [0, 35_000, 70_000].map((i) => `0x${data[i]?.toString(16)}`);
console.log(`rank ${group.rank}: ${bits.join(" ")}`);
await group.destroy();
