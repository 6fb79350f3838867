/** attacker URL NAME SECONDS: attacks a hub again and again for so long, as `ATTACKS` of test/hub/attacks.ts or `BOMBS` have it. */
import { ATTACKS, attackHub, BOMBS } from "../../../test/hub/attacks.ts";

const [url = "", name = "", seconds = "0"] = process.argv.slice(2);
const end = performance.now() + Number(seconds) * 1_000;
const attack = ATTACKS[name];
const bomb = BOMBS[name];
if (!attack && !bomb) throw new RangeError(`there is no attack ${name}`);
let times = 0;
do {
  if (attack) await attackHub({ url }, attack);
  else await bomb?.({ url });
  times++;
} while (performance.now() < end);
process.send?.(times);
process.disconnect?.();
