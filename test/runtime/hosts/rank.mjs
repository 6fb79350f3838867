/** A rank of one of several hosts; LISTEN has its option `listen`. Prints one line of JSON. */
import { initProcessGroup } from "webccl";

try {
  const listen = JSON.parse(process.env.LISTEN);
  const transport = process.env.TRANSPORT;
  const group = await initProcessGroup({ listen, timeoutMs: 30_000, ...(transport ? { transport } : {}) });
  const sum = Float32Array.of(group.rank + 1);
  await group.allReduce(sum);
  console.log(JSON.stringify({ sum: sum[0], links: group.info().ranks.map(({ link }) => link) }));
  await group.destroy();
} catch (error) {
  console.log(JSON.stringify({ error: `${error.name}: ${error.message}` }));
  process.exitCode = 1;
}
