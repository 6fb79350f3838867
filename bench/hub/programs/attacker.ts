/**
 * attacker URL NAME SECONDS: says when it is ready, and after a message attacks a hub again and again for so long, as `ATTACKS` of
 * test/hub/attacks.ts or `BOMBS` have it. Answers with the number of times.
 *
 * An attacker has a machine of its own. This one has the lowest priority, so that it takes no processor away from the hub and the
 * healthy group where there are fewer than three.
 */
import { once } from "node:events";
import { constants, setPriority } from "node:os";
import { ATTACKS, attackHub, BOMBS } from "../../../test/hub/attacks.ts";

const [url = "", name = "", seconds = "0"] = process.argv.slice(2);
const attack = ATTACKS[name];
const bomb = BOMBS[name];
if (!attack && !bomb) throw new RangeError(`there is no attack ${name}`);
setPriority(constants.priority.PRIORITY_LOW);
process.send?.("ready");
await once(process, "message");
const end = performance.now() + Number(seconds) * 1_000;
let times = 0;
do {
  if (attack) await attackHub({ url }, attack);
  else await bomb?.({ url });
  times++;
} while (performance.now() < end);
process.send?.(times);
process.disconnect?.();
