// A rank that makes a group and destroys it, CYCLES times, and tells what it holds in the end that it did not hold before.
import { initProcessGroup } from "webccl";
import { held, heldBeyond } from "./held.mjs";

const { CYCLES, TRANSPORT } = process.env;
let worstMs = 0;
const cycle = async (number) => {
  const started = performance.now();
  const group = await initProcessGroup({ transport: TRANSPORT, backend: "cpu", timeoutMs: 20_000 });
  const sum = Int32Array.of(group.rank + number);
  await group.allReduce(sum);
  const right = (group.size * (group.size - 1)) / 2 + group.size * number;
  if (sum[0] !== right) process.send({ wrong: `${sum[0]} where ${right} is right` });
  await group.destroy();
  worstMs = Math.max(worstMs, performance.now() - started);
};
for (let number = 0; number < 3; number++) await cycle(number);
const before = held();
worstMs = 0;
for (let number = 0; number < Number(CYCLES); number++) await cycle(number);
process.send({ worstMs, more: await heldBeyond(before) });
process.disconnect();
