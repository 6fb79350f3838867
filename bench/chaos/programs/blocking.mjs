// A rank that reduces over and over with the defaults of a group, and blocks its event loop between two calls when it is told.
import { initProcessGroup } from "webccl";

const { TRANSPORT } = process.env;
let [blockMs, stop] = [0, 0];
process
  .on("message", (message) => {
    if (message.blockMs) blockMs = message.blockMs;
    else stop = 1;
  })
  .channel?.unref();
try {
  const group = await initProcessGroup({ transport: TRANSPORT, backend: "cpu" });
  const tensor = new Int32Array(10_000);
  let reduces = 0;
  let worstMs = 0;
  for (let stopped = false; !stopped; reduces++) {
    tensor.fill(group.rank);
    tensor[0] = stop;
    const started = performance.now();
    await group.allReduce(tensor);
    worstMs = Math.max(worstMs, performance.now() - started);
    const right = (group.size * (group.size - 1)) / 2;
    const wrong = tensor.subarray(1).find((value) => value !== right);
    if (wrong !== undefined) process.send({ wrong: `${wrong} where ${right} is right` });
    stopped = tensor[0] > 0;
    if (reduces === 0) process.send({ running: true });
    await new Promise((resolve) => setImmediate(resolve));
    if (blockMs > 0) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, blockMs);
      process.send({ blocked: blockMs });
      blockMs = 0;
    }
  }
  process.send({ reduces, worstMs });
  await group.destroy();
} catch (error) {
  process.send({ error: error.name, text: error.message });
}
process.disconnect();
