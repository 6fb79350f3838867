/**
 * A tab of a group that goes on for as long as it is open: the location's fragment has the options of `initProcessGroup`. When
 * its group has ended for good, as with its hub, it makes a new one.
 */
import { initProcessGroup } from "../../../../src/browser/index.ts";
import { type Reduced, reduceOn } from "../elastic.ts";

const told: Reduced[] = [];
Object.assign(globalThis, { told });
const options = JSON.parse(decodeURIComponent(location.hash.slice(1)));
for (;;) {
  try {
    const group = await initProcessGroup(options);
    await reduceOn(
      group,
      (reduced) => told.push(reduced),
      () => false,
    );
  } catch (error) {
    console.log(String(error));
  }
}
