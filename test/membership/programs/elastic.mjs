// A rank that reduces over and over, shrinks when a rank is lost and lets in who waits. It tells the sums of each epoch, and
// ends when any rank was told to.
import { parentPort } from "node:worker_threads";
import { initProcessGroup } from "webccl";

const { TRANSPORT = "auto", JOIN, ADMIT, CALL_MS = "60000", WEBCCL_INIT_METHOD, TICKETS, LISTEN } = process.env;
// Who comes by a ticket does not know the token.
const ticket = TICKETS?.split(",")[Number(process.env.RANK)];
if (ticket) delete process.env.WEBCCL_TOKEN;
const send = (message) => (parentPort ? parentPort.postMessage(message) : process.send?.(message));
let stop = 0;
const onMessage = () => {
  stop = 1;
};
if (parentPort) {
  parentPort.on("message", onMessage);
  parentPort.unref();
} else process.on("message", onMessage).channel?.unref();

const options = { transport: TRANSPORT, backend: "cpu", timeoutMs: 30_000 };
let group = await initProcessGroup({
  ...options,
  ...(JOIN ? { join: true } : {}),
  ...(ticket ? { ticket } : {}),
  ...(WEBCCL_INIT_METHOD ? { initMethod: WEBCCL_INIT_METHOD } : {}),
  ...(LISTEN ? { listen: JSON.parse(LISTEN) } : {}),
});
const seat = group.globalRanks[group.rank];
const tensor = group.alloc("i32", 100_000);
let told = -1;
let oldError = "";
for (let stopped = false; !stopped; ) {
  try {
    tensor.fill(seat + 1);
    tensor[0] = stop;
    await group.allReduce(tensor, { timeoutMs: Number(CALL_MS) });
    const sum = group.globalRanks.reduce((all, rank) => all + rank + 1, 0);
    const right = tensor.subarray(1).every((value) => value === sum);
    if (!right) send({ wrong: [tensor[1], sum] });
    if (told !== group.epoch) {
      const { epoch, size, rank, globalRanks } = group;
      const links = group.info().ranks.map(({ link }) => link);
      send({ epoch, size, rank, globalRanks, at: Date.now(), right, oldError, links, seat });
    }
    told = group.epoch;
    stopped = tensor[0] > 0;
    // A rank that is alone waits for nobody: messages have to come in between.
    await new Promise((resolve) => setImmediate(resolve));
    if (ADMIT && !stopped) group = await group.admit();
  } catch (error) {
    oldError = `${error.name}: ${error.message}`;
    send({ error: error.name, lost: error.rank, missing: error.missingRanks, at: Date.now() });
    try {
      group = await group.shrink({ timeoutMs: 5_000 });
    } catch (refusal) {
      send({ refused: refusal.name, text: refusal.message, oldError, at: Date.now() });
      break;
    }
  }
}
await group.destroy();
process.disconnect?.();
