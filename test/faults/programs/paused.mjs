// Rank 0 offers 1 GiB to rank 1, which blocks its event loop for PAUSE_MS before it receives.
import { initProcessGroup } from "webccl";

const { TRANSPORT, PAUSE_MS } = process.env;
const PART = 16 * 2 ** 20;
const PARTS = 16;
const group = await initProcessGroup({ transport: TRANSPORT, backend: "cpu", timeoutMs: 120_000 });
const tensor = new Float32Array(PART).fill(1.5);
await group.barrier();

if (group.rank === 0) {
  process.send({ pid: process.pid, offering: process.memoryUsage.rss() });
  await Promise.all(Array.from({ length: PARTS }, () => group.send(tensor, 1)));
} else {
  process.send({ paused: true });
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(PAUSE_MS));
  process.send({ resumed: true });
  for (let part = 0; part < PARTS; part++) {
    tensor.fill(0);
    await group.recv(tensor, 0);
    if (!tensor.every((value) => value === 1.5)) process.send({ wrong: part });
  }
  process.send({ received: PART * PARTS * 4 });
}
await group.barrier();
await group.destroy();
process.disconnect();
