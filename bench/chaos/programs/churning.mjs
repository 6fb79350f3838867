// A rank of a group that others leave and join all the time. It reduces over and over, checks the integers, and tells the bits
// of the floats; it shrinks when a rank is lost, lets in who waits, and joins anew if it was refused.
import { createHash } from "node:crypto";
import { initProcessGroup } from "webccl";

const { JOIN } = process.env;
const EVERY = 20;
const send = (message) => process.send?.(message);
let stop = 0;
process
  .on("message", () => {
    stop = 1;
  })
  .channel?.unref();

const options = { backend: "cpu", timeoutMs: 20_000 };
const join = () => initProcessGroup({ ...options, join: true });
let group = JOIN ? await join() : await initProcessGroup(options);
const integers = new Int32Array(10_000);
const floats = new Float32Array(10_000);

/** One right reduce, told now and then. Returns whether the program is to end. */
async function reduce(step) {
  const seat = group.globalRanks[group.rank];
  integers.fill(seat + 1);
  integers[0] = stop;
  for (let i = 0; i < floats.length; i++) floats[i] = Math.fround(1 / (1 + i + 7 * seat + step));
  await group.allReduce(integers);
  await group.allReduce(floats);
  const sum = group.globalRanks.reduce((all, rank) => all + rank + 1, 0);
  for (let i = 1; i < integers.length; i++) {
    if (integers[i] === sum) continue;
    send({ wrong: `${integers[i]} where ${sum} is right, epoch ${group.epoch}, step ${step}` });
    break;
  }
  if (step % EVERY === 0) {
    const bits = createHash("sha1").update(new Uint8Array(floats.buffer)).digest("hex");
    send({ epoch: group.epoch, size: group.size, step, bits, members: String(group.globalRanks), at: Date.now() });
  }
  return integers[0] > 0;
}

for (let step = 0; ; ) {
  try {
    if (await reduce(step)) break;
    step++;
    // A rank that is alone waits for nobody: messages have to come in between.
    await new Promise((resolve) => setImmediate(resolve));
    const next = await group.admit();
    if (next !== group) step = 0;
    group = next;
  } catch (error) {
    send({ error: error.name, text: error.message, at: Date.now() });
    step = 0;
    try {
      group = await group.shrink({ timeoutMs: 5_000 });
    } catch (refusal) {
      send({ refused: refusal.name, text: refusal.message, after: error.message, at: Date.now() });
      group = await join();
    }
  }
}
await group.destroy();
process.disconnect?.();
