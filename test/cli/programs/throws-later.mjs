/** Rank 1 throws in a timer, while the others go on. */
import { initProcessGroup } from "webccl";

const group = await initProcessGroup();
await group.barrier();
if (group.rank === 1) {
  setTimeout(() => {
    throw new RangeError("nobody waits for this");
  });
}
for (;;) await group.barrier();
