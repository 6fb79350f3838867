// Ranks that make the same call, except the victim, whose call differs in FIELD; then a call that all make alike.
import { initProcessGroup } from "webccl";

const { VICTIM, FIELD, TRANSPORT } = process.env;
const group = await initProcessGroup({ transport: TRANSPORT, backend: "cpu", timeoutMs: 60_000 });
const { rank, size } = group;
const isVictim = rank === Number(VICTIM);
const ones = (count) => new Float32Array(count).fill(1);
/** Uneven parts: rank r has r + 1 elements, and the victim thinks that the last has more. */
const parts = () => Array.from({ length: size }, (_, r) => ones(r + 1 + (isVictim && r === size - 1 ? 3 : 0)));

const calls = {
  collective: () => (isVictim ? group.broadcast(ones(1_000), { root: 0 }) : group.allReduce(ones(1_000))),
  dtype: () => group.allReduce(isVictim ? new Int32Array(1_000) : ones(1_000)),
  count: () => group.allReduce(ones(isVictim ? 1_001 : 1_000)),
  root: () => group.broadcast(ones(1_000), { root: isVictim ? 1 : 0 }),
  op: () => group.allReduce(ones(1_000), { op: isVictim ? "max" : "sum" }),
  sequence: () => (isVictim ? group.barrier() : group.allReduce(ones(10))),
  size: () => group.reduceScatter(ones(rank + 1 + (isVictim && rank === size - 1 ? 3 : 0)), parts()),
};

await group.allReduce(ones(1_000));
await group.barrier();
const calledAt = Date.now();
// The victim has left a call out: its barrier meets the others' allReduce, and its allReduce nobody's.
try {
  await calls[FIELD]();
  process.send({ resolved: true });
} catch (error) {
  process.send({ error: error.name, text: error.message, calledAt, at: Date.now() });
}
const tensor = ones(100);
await group.allReduce(tensor);
process.send({ right: tensor.every((value) => value === size) });
await group.destroy();
process.disconnect();
