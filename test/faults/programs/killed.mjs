// Ranks allReduce 64 MB over and over; rank VICTIM kills itself at FRACTION of one. Survivors report what they saw.
import { initProcessGroup } from "webccl";

const { VICTIM, FRACTION } = process.env;
const transport = process.env.TRANSPORT ?? "auto";
const group = await initProcessGroup({ transport, backend: "cpu", timeoutMs: 60_000 });
const tensor = group.alloc("f32", 16_000_000);

const allReduce = async () => {
  tensor.fill(1);
  await group.barrier();
  const started = performance.now();
  await group.allReduce(tensor);
  const ms = performance.now() - started;
  if (tensor[0] !== group.size || tensor[tensor.length - 1] !== group.size) process.send({ wrong: tensor[0] });
  return ms;
};

const ms = await allReduce();
if (group.rank === Number(VICTIM)) {
  tensor.fill(1);
  await group.barrier();
  group.allReduce(tensor);
  setTimeout(() => {
    process.send({ killedAt: Date.now() }, () => process.kill(process.pid, "SIGKILL"));
  }, ms * Number(FRACTION));
} else {
  try {
    for (;;) await allReduce();
  } catch (error) {
    process.send({ error: error.name, lost: error.rank, at: Date.now(), text: error.message });
  }
  const later = await group.barrier().catch((error) => error);
  process.send({ later: later?.name, lost: later?.rank });
  await group.destroy();
  process.disconnect();
}
