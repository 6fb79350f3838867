/** A rank that makes two calls, of which the last rank makes one alone. */
import { initProcessGroup } from "webccl";

const group = await initProcessGroup({ timeoutMs: 1_000, logger: console });
await group.allReduce(new Float32Array(100));
if (group.rank < group.size - 1) {
  await group.allReduce(new Float32Array(100)).catch((error) => console.log(error.message));
} else {
  // Until the others have told that the group is dead.
  await group.recv(new Float32Array(1), 0, { tag: 5, timeoutMs: 10_000 }).catch((error) => console.log(error.message));
}
process.exit(0);
