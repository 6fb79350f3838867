/**
 * A rank in a process of its own, which says over IPC what comes of its bring-up. `DIE_AFTER` is the number of turns of the event
 * loop after which it kills itself; a message does so too. It comes `TRIES` times, until a group has been right.
 */
import { initProcessGroup } from "../../../src/node/index.ts";

const { PLACE = "", RANK = "", RANKS = "", DIE_AFTER, TRIES = "1" } = process.env;
const tell = (message: object) => process.send?.({ at: Date.now(), ...message });
const die = () => process.kill(process.pid, "SIGKILL");

process.on("message", die);
if (DIE_AFTER !== undefined) void dieAfter(Number(DIE_AFTER));
for (let tries = Number(TRIES); tries > 0 && !(await meet()); tries--);
process.disconnect();

async function dieAfter(turns: number): Promise<void> {
  for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
  die();
}

/** Has a group come up, and been right? */
async function meet(): Promise<boolean> {
  const place = { initMethod: PLACE, rank: Number(RANK), worldSize: Number(RANKS) };
  try {
    const group = await initProcessGroup({ ...place, backend: "cpu", timeoutMs: 60_000 });
    const tensor = Int32Array.of(1);
    try {
      await group.allReduce(tensor);
      await group.barrier();
    } finally {
      await group.destroy();
    }
    tell({ sum: tensor[0] });
    return true;
  } catch (error) {
    const { name, message, rank } = error as Error & { rank?: number };
    tell({ error: name, message, lost: rank ?? null });
    return false;
  }
}
