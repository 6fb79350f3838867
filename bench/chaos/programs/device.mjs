// A rank on a GPU of its own that reduces over and over; the victim loses its device in the middle of a call.
import { initProcessGroup } from "webccl";
import { create, globals } from "webgpu";

const { VICTIM, DELAY_MS } = process.env;
const COUNT = 2 ** 20;
const gpu = create([]);
const device = await (await gpu.requestAdapter()).requestDevice();
const group = await initProcessGroup({ device, transport: "websocket", timeoutMs: 60_000 });
const { STORAGE, COPY_SRC, COPY_DST } = globals.GPUBufferUsage;
const buffer = device.createBuffer({ size: 4 * COUNT, usage: STORAGE | COPY_SRC | COPY_DST });
const tensor = { buffer, dtype: "f32" };
await group.allReduce(tensor);
await group.barrier();
if (group.rank === Number(VICTIM)) {
  setTimeout(() => {
    process.send({ lostAt: Date.now() });
    device.destroy();
  }, Number(DELAY_MS));
}
try {
  for (;;) await group.allReduce(tensor);
} catch (error) {
  process.send({ error: error.name, text: error.message, at: Date.now() });
}
const later = await group.barrier().catch((error) => error);
process.send({ later: later?.name });
await group.destroy();
process.exit();
