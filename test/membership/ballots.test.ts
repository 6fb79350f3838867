/** What a rank has promised: ballots have the order of members, whatever their seats are. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Agreement } from "../../src/membership/agreement.ts";
import { Ballots } from "../../src/membership/ballots.ts";
import type { Message } from "../../src/membership/messages.ts";
import type { Verdict } from "../../src/membership/verdict.ts";

/** Members in an order in which ranks that joined late may come behind higher seats. */
const MEMBERS = fc.uniqueArray(fc.nat(40), { minLength: 3, maxLength: 8 });

/**
 * A change on the last members, when those before have been followed by all and lost, each in its turn: the first `lost` of them.
 * The store is gone, so they vote.
 */
async function succeed(members: readonly number[], lost: number): Promise<(Verdict | null)[]> {
  const gone = new Set<number>();
  const living = members.slice(lost);
  const agreements = new Map<number, Agreement>();
  for (const own of living) {
    const surroundings = {
      isDead: () => true,
      reaches: (seat: number) => !gone.has(seat),
      tell: (seat: number, message: Message) => queueMicrotask(() => agreements.get(seat)?.onMessage(own, message)),
      knocking: async () => [],
      invite: async () => {},
      link: async () => [],
      decide: (proposal: Verdict, vote: (proposal: Verdict, voters: number) => Promise<Verdict>) =>
        vote(proposal, living.length),
    };
    const ballots = new Ballots(members);
    const rest = { group: "default", epoch: 1, own, members, timeoutMs: 60_000, silent: [], ballots, surroundings };
    agreements.set(own, new Agreement({ kind: "shrink", ...rest }));
  }
  for (const agreement of agreements.values()) agreement.start();
  for (const seat of members.slice(0, lost)) {
    gone.add(seat);
    for (const agreement of agreements.values()) agreement.onChange();
  }
  return Promise.all([...agreements.values()].map(({ outcome }) => outcome));
}

describe("the ballots of a change", () => {
  it("let each leader that follows others be voted for, in any order of seats", async () => {
    const cases = MEMBERS.chain((members) =>
      fc.tuple(fc.constant(members), fc.integer({ min: 0, max: members.length - 1 })),
    );
    await fc.assert(
      fc.asyncProperty(cases, async ([members, lost]) => {
        const verdict = { epoch: 1, members: members.slice(lost), hub: null };
        expect(await succeed(members, lost)).toEqual(Array(members.length - lost).fill(verdict));
      }),
    );
  });

  it("refuse a leader that comes before one that was followed", () => {
    fc.assert(
      fc.property(MEMBERS, fc.nat(7), fc.nat(7), (members, followed, proposing) => {
        const [later, other] = [followed % members.length, proposing % members.length];
        const ballots = new Ballots(members);
        ballots.promise(members[later]!);
        expect(ballots.mayTake(members[other]!)).toBe(other >= later);
        ballots.withdraw(members[later]!);
        expect(ballots.mayTake(members[other]!)).toBe(true);
      }),
    );
  });
});
