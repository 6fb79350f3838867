// A group that lets everyone in and goes on without the dead, until it has had `size` ranks in so many epochs.
import { setTimeout as sleep } from "node:timers/promises";
import { initProcessGroup } from "webccl";

const [size, times] = process.argv.slice(2).map(Number);
let group = await initProcessGroup({ timeoutMs: 60_000 });
let epoch = -1;
let reached = 0;
for (;;) {
  try {
    if (group.epoch !== epoch) {
      epoch = group.epoch;
      const most = Int32Array.of(reached);
      await group.allReduce(most, { op: "max" });
      reached = most[0] + (group.size === size ? 1 : 0);
      const sum = Int32Array.of(group.rank + 1);
      await group.allReduce(sum);
      console.log(`epoch ${epoch}: rank ${group.rank} of ${group.size} has ${sum[0]}, pid ${process.pid}`);
      if (reached >= times) break;
    }
    await sleep(10);
    group = await group.admit();
  } catch (error) {
    console.log(`${error.name} in epoch ${group.epoch}`);
    group = await group.shrink();
  }
}
await group.destroy();
