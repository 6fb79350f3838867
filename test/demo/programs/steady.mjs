/** A rank that reduces until it is killed; told to sleep, it lives on and calls nothing more. */
import { initProcessGroup } from "webccl";

const group = await initProcessGroup({ timeoutMs: 60_000, transport: process.env.TRANSPORT ?? "auto" });
const tensor = new Float32Array(64 * 1024);
let isAwake = true;
process.on("message", () => {
  isAwake = false;
});
while (isAwake) {
  await group.allReduce(tensor.fill(1));
  process.send?.({ calls: group.sequence });
  await new Promise((resolve) => setTimeout(resolve, 5));
}
