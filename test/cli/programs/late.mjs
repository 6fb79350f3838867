/** A rank that makes two calls, of which the last rank makes one alone. */
import { initProcessGroup } from "webccl";

const group = await initProcessGroup({ timeoutMs: 3_000, logger: console });
await group.allReduce(new Float32Array(100));
if (group.rank < group.size - 1) {
  await group.allReduce(new Float32Array(100)).catch((error) => console.log(error.message));
} else {
  // Until the others have told that the group is dead.
  while (!(await group.dumpTrace({ includeCollectives: false })).groups[0].dead) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
process.exit(0);
