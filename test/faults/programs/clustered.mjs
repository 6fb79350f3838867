/** Ranks as workers of node:cluster, as PM2 starts them in its cluster mode. */
import cluster from "node:cluster";
import { initProcessGroup } from "webccl";

const { WORLD_SIZE, TRANSPORT } = process.env;
if (cluster.isPrimary) {
  for (let rank = 0; rank < Number(WORLD_SIZE); rank++) cluster.fork({ RANK: String(rank) });
  cluster.on("exit", (worker, code, signal) => {
    if (code !== 0) console.log(`worker ${worker.id} ended with ${signal ?? code}`);
  });
} else {
  const group = await initProcessGroup({ timeoutMs: 30_000, transport: TRANSPORT });
  const sum = Float32Array.of(group.rank);
  await group.allReduce(sum);
  const links = group.info().ranks.map(({ link }) => link);
  console.log(`${group.rank}: ${sum[0]} by ${links.join(" ")}`);
  await group.destroy();
  cluster.worker.disconnect();
}
