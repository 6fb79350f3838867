/**
 * A tab that reduces for as long as it can, and joins the group again when that has ended for it: the location's fragment has the
 * options of `initProcessGroup`. It leaves what it found in `told`, and its errors in `errors`.
 */
import { initProcessGroup } from "../../../../src/browser/index.ts";
import type { Reduced } from "../elastic.ts";

const told: Reduced[] = [];
const errors: string[] = [];
Object.assign(globalThis, { told, errors });
let options = JSON.parse(decodeURIComponent(location.hash.slice(1)));
for (;;) {
  try {
    let group = await initProcessGroup(options);
    for (let first = true; ; first = false) {
      const { epoch, globalRanks, rank } = group;
      const tensor = new Int32Array(1_000).fill(1 + globalRanks[rank]!);
      tensor[0] = 0;
      await group.allReduce(tensor);
      const sum = globalRanks.reduce((all, one) => all + one + 1, 0);
      const isRight = tensor.subarray(1).every((value) => value === sum);
      if (first || !isRight) told.push({ epoch, globalRanks, isRight, at: Date.now() });
      group = await group.admit();
    }
  } catch (error) {
    errors.push(String(error));
    options = { ...options, rank: undefined, worldSize: undefined, join: true };
  }
}
