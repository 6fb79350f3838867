/** What the ranks of an elastic group do: after a loss they shrink and go on, and now and then they let in whoever waits. */
import type { ProcessGroup } from "../../group/process-group.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { drawnCall, type Program, WrongValueError } from "./program.ts";

/** Some calls are followed by one of `admit`: one in so many. */
const ADMIT_EVERY = 3;

/** A program of `calls` calls for all ranks together: one that comes later begins where the others are. */
export function elasticCalls(seed: number, calls: number): Program {
  return async (first, _rank, _random, tell, life) => {
    let group = first;
    let done = 0;
    const goOn = async (next: ProcessGroup) => {
      const hasBegun = next.epoch !== group.epoch;
      if (hasBegun) await life.onEpoch(next, group);
      group = next;
      return hasBegun;
    };
    for (let isNew = true; done < calls; ) {
      try {
        if (isNew) done = await furthest(group, done);
        isNew = false;
        if (done >= calls) break;
        const random = new SeededRandom(seed, "elastic", group.epoch, done);
        await drawnCall(group, random, done, (name, bytes) =>
          tell(`${name} of epoch ${group.epoch}, ${group.globalRanks}`, bytes),
        );
        done++;
        if (random.below(ADMIT_EVERY) === 0) isNew = await goOn(await group.admit());
      } catch (error) {
        if (error instanceof WrongValueError || !(await life.onFailure(group))) throw error;
        isNew = await goOn(await group.shrink());
      }
    }
  };
}

/** Ranks may have come to different calls when one was lost: how many the first of them has done. */
async function furthest(group: ProcessGroup, done: number): Promise<number> {
  const most = new Int32Array([done]);
  await group.allReduce(most, { op: "max" });
  return most[0]!;
}
