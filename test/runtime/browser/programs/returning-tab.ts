/** A tab that joins a group, for as long as it is open: the location's fragment has the options of `initProcessGroup`. */
import { initProcessGroup } from "../../../../src/browser/index.ts";
import { type Reduced, reduceOn } from "../elastic.ts";

const told: Reduced[] = [];
Object.assign(globalThis, { told });
const group = await initProcessGroup(JSON.parse(decodeURIComponent(location.hash.slice(1))));
await reduceOn(
  group,
  (reduced) => told.push(reduced),
  () => false,
);
Object.assign(globalThis, { isOver: true });
