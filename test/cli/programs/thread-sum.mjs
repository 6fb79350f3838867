// Adds the ranks up, and says how they are joined.
import { initProcessGroup } from "webccl";

const group = await initProcessGroup({ backend: "cpu" });
const sum = Float32Array.of(group.rank);
await group.allReduce(sum);
const kinds = [...new Set(group.info().ranks.map(({ link }) => link))];
if (group.rank === 0) console.log(JSON.stringify({ size: group.size, sum: sum[0], kinds }));
await group.destroy();
