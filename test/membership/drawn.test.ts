/** Drawn sequences of losses and joins, each of which ends in one group whose every allReduce is exact. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ProcessGroup } from "../../src/node/index.ts";
import { memoryJob, sums } from "./memory-job.ts";

/** At each turn some ranks are lost, some leave in order, and some join. */
const turn = fc.record({
  lost: fc.array(fc.nat(7), { maxLength: 2 }),
  left: fc.array(fc.nat(7), { maxLength: 1 }),
  joining: fc.nat(2),
});

/** Those of `groups` at drawn places, at least one left out. */
const drawn = (groups: readonly ProcessGroup[], places: readonly number[]) =>
  [...new Set(places.map((place) => groups[place % groups.length]!))].slice(0, groups.length - 1);

describe("any sequence of losses and joins", () => {
  it("leaves one group, in order, of those that live", { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 2, max: 5 }), fc.array(turn, { maxLength: 5 }), async (size, turns) => {
        const job = await memoryJob(size);
        let groups = job.groups;
        const dead: ProcessGroup[] = [];
        for (const { lost, left, joining } of turns) {
          const before = groups.map(({ globalRanks, rank }) => globalRanks[rank]!);
          const victims = drawn(groups, lost);
          const leaving = drawn(groups, left).filter((group) => !victims.includes(group));
          const living = groups.filter((group) => !victims.includes(group) && !leaving.includes(group));
          if (living.length === 0) continue;
          for (const { globalRanks, rank } of victims) job.lose(globalRanks[rank]!);
          dead.push(...victims);
          await Promise.all(leaving.map((group) => group.destroy()));
          const newcomers = Array.from({ length: joining }, () => job.join());
          const knocked = joining === 0 ? Promise.resolve() : job.knocks(living[0]!, joining);
          if (victims.length + leaving.length > 0) groups = await Promise.all(living.map((group) => group.shrink()));
          const survivors = groups.map(({ globalRanks }) => globalRanks);
          const order = before.filter((seat) => living.some(({ globalRanks, rank }) => globalRanks[rank] === seat));
          expect(survivors).toEqual(groups.map(() => order));
          await knocked;
          const admitted = await Promise.all(groups.map((group) => group.admit()));
          // Those that join have the order in which they knocked.
          groups = [...admitted, ...(await Promise.all(newcomers)).sort((a, b) => a.rank - b.rank)];
          const [{ globalRanks, epoch }] = groups as [ProcessGroup];
          expect(globalRanks.slice(0, order.length)).toEqual(order);
          expect(groups.map((group) => [group.rank, group.size, group.epoch, group.globalRanks])).toEqual(
            groups.map((_, rank) => [rank, order.length + joining, epoch, globalRanks]),
          );
          const sum = globalRanks.reduce((all, seat) => all + seat + 1, 0);
          expect(await sums(groups)).toEqual(groups.map(() => sum));
        }
        await Promise.all([...groups, ...dead].map((group) => group.destroy()));
      }),
      { numRuns: 40 },
    );
  });
});
