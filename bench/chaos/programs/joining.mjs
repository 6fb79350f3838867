// A process of many ranks that all join at once, when it is told.
import { initProcessGroup } from "webccl";

const { RANKS_HERE, FIRST_RANK, JOB_SIZE, TRANSPORT } = process.env;
// Loads and compiles what a rank needs, so that the test is about joining.
const warm = [0, 1].map((rank) =>
  initProcessGroup({ initMethod: "memory://warm", rank, worldSize: 2, backend: "cpu" }),
);
for (const group of await Promise.all(warm)) void group.allReduce(new Float32Array(1)).then(() => group.destroy());
process.send({ ready: true });
process.once("message", async ({ initMethod }) => {
  const ranks = Array.from({ length: Number(RANKS_HERE) }, (_, i) => Number(FIRST_RANK) + i);
  const options = { initMethod, worldSize: Number(JOB_SIZE), transport: TRANSPORT, backend: "cpu", timeoutMs: 60_000 };
  const ends = ranks.map(async (rank) => {
    const group = await initProcessGroup({ ...options, rank });
    const joinedAt = Date.now();
    const sum = Int32Array.of(rank);
    await group.allReduce(sum);
    process.send({ rank, joinedAt, reducedAt: Date.now(), sum: sum[0] });
    await group.destroy();
  });
  try {
    await Promise.all(ends);
  } catch (error) {
    process.send({ error: error.name, text: error.message });
  }
  process.disconnect();
});
