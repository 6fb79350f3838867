/** A page that starts ranks when it is told to: the test calls `spawnRanks` in it. */
import { spawnRanks } from "../../../src/browser/index.ts";

Object.assign(globalThis, { spawnRanks });
