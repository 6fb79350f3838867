// A rank that makes OPERATIONS calls of all kinds, and tells the size of its heap now and then, and what it holds in the end that it
// did not hold before.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { initProcessGroup } from "webccl";
import { held, heldBeyond } from "./held.mjs";

const { OPERATIONS, TRANSPORT } = process.env;
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc");

const life = async (operations) => {
  const group = await initProcessGroup({ transport: TRANSPORT, backend: "cpu", timeoutMs: 60_000 });
  const { rank, size } = group;
  const all = new Float32Array(1_000 * size);
  const one = new Float32Array(1_000);
  const got = new Float32Array(1_000);
  const calls = [
    () => group.allReduce(one.fill(1)),
    () => group.allGatherIntoTensor(all, one),
    () => group.reduceScatterTensor(one, all),
    () => group.broadcast(one, { root: 0 }),
    () => group.barrier(),
    () => Promise.all([group.send(one, (rank + 1) % size), group.recv(got, (rank + size - 1) % size)]),
    () => group.allGatherObject({ rank }),
    () => group.allReduce(new Float32Array(10).fill(1)),
  ];
  for (let n = 1; n <= operations; n++) {
    await calls[n % calls.length]();
    if (n % calls.length === 0) {
      const wrong = one.find((value) => value !== size);
      if (wrong !== undefined) process.send({ wrong });
    }
    if (n % 500 !== 0) continue;
    collect();
    process.send({ operations: n, heapBytes: process.memoryUsage().heapUsed });
  }
  await group.destroy();
};
// The first group loads what all later ones share.
await life(100);
const before = held();
await life(Number(OPERATIONS));
process.send({ more: await heldBeyond(before) });
process.disconnect();
