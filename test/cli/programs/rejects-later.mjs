/** Rank 1 rejects where nobody waits for it, while the others go on. */
import { initProcessGroup } from "webccl";

const group = await initProcessGroup();
await group.barrier();
if (group.rank === 1) void Promise.reject(new RangeError("nobody waits for this"));
for (;;) await group.barrier();
