// Ranks allReduce over and over until it fails; each tells when it runs and what it saw.
import { initProcessGroup } from "webccl";

const transport = process.env.TRANSPORT ?? "auto";
const group = await initProcessGroup({ transport, backend: "cpu", timeoutMs: 60_000 });
const tensor = group.alloc("f32", 4_000_000);
await group.allReduce(tensor);
process.send({ running: true });
try {
  for (;;) await group.allReduce(tensor);
} catch (error) {
  process.send({ error: error.name, code: error.code, text: error.message, at: Date.now() });
}
await group.destroy();
process.disconnect();
