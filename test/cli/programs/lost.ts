// Rank 2 kills itself while the others wait for it in an allReduce.
import { initProcessGroup, PeerLostError } from "../../../src/node/index.ts";

const group = await initProcessGroup();
await group.barrier();
if (group.rank === 2) process.kill(process.pid, "SIGKILL");
try {
  await group.allReduce(new Float32Array(1000));
} catch (error) {
  if (error instanceof PeerLostError) console.log(`${error.name}: lost ${error.rank}`);
  process.exitCode = 7;
}
await group.destroy();
