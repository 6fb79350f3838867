// Ranks allReduce over and over with a timeout of 1 s; the test stops rank VICTIM.
import { initProcessGroup } from "webccl";

const transport = process.env.TRANSPORT ?? "auto";
const group = await initProcessGroup({ transport, backend: "cpu", timeoutMs: 60_000 });
const tensor = group.alloc("f32", 4_000_000);
await group.barrier();
process.send({ running: true });
try {
  for (;;) await group.allReduce(tensor, { timeoutMs: 1_000 });
} catch (error) {
  process.send({ error: error.name, missing: error.missingRanks, at: Date.now(), text: error.message });
}
const left = performance.now();
await group.destroy();
process.send({ destroyMs: performance.now() - left });
process.disconnect();
