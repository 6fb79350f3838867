/**
 * Calls that one rank is refused while the others make them: no rank's call is ever taken for another one. A rank that cannot
 * make a call at the moment sits it out, and the next one pairs. A call with wrong arguments has not happened; the next call
 * rejects on every rank, and tells how many were refused, and the one after it pairs.
 */
import { describe, expect, it } from "vitest";
import { AbortedError, MismatchError } from "../../src/errors.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";
import type { Tensor } from "../../src/types.ts";
import { TEST_TRANSPORTS, withGroup } from "../conformance/harness.ts";

const ROUNDS = 4;
const random = new SeededRandom(12, "refused calls");
const oneOf = <T>(...values: readonly T[]): T => values[random.u32() % values.length] as T;

const cyclic: unknown[] = [];
cyclic.push({ deep: cyclic });

/** What keeps one rank from the call that the others make. */
const OBSTACLES: Record<string, (group: ProcessGroup) => { work: PromiseLike<unknown>; error: unknown }> = {
  "a signal that was aborted before": (group) => ({
    work: group.allReduce(new Float64Array(3), { signal: AbortSignal.abort("enough") }),
    error: AbortedError,
  }),
  "memory of a receive that runs": (group) => {
    const tensor = new Float64Array(3);
    const controller = new AbortController();
    const receive = group.recv(tensor, (group.rank + 1) % group.size, { tag: 99, signal: controller.signal });
    receive.then(undefined, () => undefined);
    const work = group.allReduce(tensor.subarray(1));
    controller.abort();
    return { work, error: TypeError };
  },
  "a value that has no encoding": (group) => ({ work: group.allGatherObject({ a: [cyclic] }), error: TypeError }),
  "a function, deep inside": (group) => ({
    work: group.gatherObject({ a: [{ b: () => 1 }] }, { root: (group.rank + 1) % group.size }),
    error: TypeError,
  }),
};

/** The call that the others make of the same round. */
const OTHERS: Record<string, (group: ProcessGroup, refused: number) => PromiseLike<unknown>> = {
  "a signal that was aborted before": (group) => group.allReduce(new Float64Array(3)),
  "memory of a receive that runs": (group) => group.allReduce(new Float64Array(2)),
  "a value that has no encoding": (group) => group.allGatherObject({ a: 1 }),
  "a function, deep inside": (group, refused) => group.gatherObject({ a: 1 }, { root: (refused + 1) % group.size }),
};

/** Calls that have wrong arguments. */
const MISTAKES: Record<string, (group: ProcessGroup) => PromiseLike<unknown>> = {
  "no tensor": (group) => group.allReduce([1, 2] as unknown as Tensor),
  "a root that there is not": (group) => group.broadcast(new Float64Array(3), { root: 9 }),
  "an unknown option": (group) => group.allReduce(new Float64Array(3), { ops: "max" } as object),
  "an algorithm that there is not": (group) => group.allReduce(new Float64Array(3), { algorithm: "fastest" }),
  "a timeout that is none": (group) => group.allReduce(new Float64Array(3), { timeoutMs: -1 }),
  "an operation that does not fit": (group) => group.allReduce(new Float64Array(3), { op: "band" }),
  "a list of the wrong length": (group) => group.allGather([], new Float64Array(3)),
  "ranks that there are not": (group) => group.newGroup([7]),
  "an unknown option of monitoredBarrier": (group) => group.monitoredBarrier({ timeout: 3 } as object),
};

interface Situation {
  size: number;
  refused: number;
  round: number;
  kind: string;
}
const situations = (kinds: readonly string[]): Situation[] =>
  kinds.flatMap((kind) =>
    Array.from({ length: 2 }, () => {
      const size = oneOf(2, 3, 4);
      return { kind, size, refused: random.u32() % size, round: random.u32() % (ROUNDS - 1) };
    }),
  );

const failureOf = (call: PromiseLike<unknown>): Promise<unknown> =>
  Promise.resolve(call).then(
    () => "no error",
    (error) => error,
  );

/** A round whose result shows with which round of the others it was paired. */
async function expectPairs(group: ProcessGroup, round: number): Promise<void> {
  const tensor = new Float64Array(3).fill(10 ** round);
  await group.allReduce(tensor);
  expect([...tensor], `round ${round}`).toEqual(Array(3).fill(group.size * 10 ** round));
}

describe.each([...TEST_TRANSPORTS])("a call that one rank is refused, over %s", (transport) => {
  it.each(situations(Object.keys(OBSTACLES)))(
    "rejects on all ranks, and no other: %o",
    async ({ size, refused, round, kind }) => {
      await withGroup(transport, size, async (group, rank) => {
        for (let i = 0; i < ROUNDS; i++) {
          if (i !== round) await expectPairs(group, i);
          else if (rank === refused) {
            const { work, error } = OBSTACLES[kind]!(group);
            expect(await failureOf(work)).toBeInstanceOf(error);
          } else {
            const failure = (await failureOf(OTHERS[kind]!(group, refused))) as Error;
            // Of a gather, a rank that is neither the root nor the next one after the refused rank waits for neither.
            const isApart = kind === "a function, deep inside" && rank !== (refused + 1) % size;
            if (isApart && String(failure) === "no error") continue;
            expect(failure).toBeInstanceOf(MismatchError);
            expect(failure.message).toContain(`rank ${refused} does not take part: `);
          }
        }
      });
    },
  );

  it.each(situations(Object.keys(MISTAKES)))(
    "has not happened, and the next one says so: %o",
    async ({ size, refused, round, kind }) => {
      await withGroup(transport, size, async (group, rank) => {
        for (let i = 0; i < ROUNDS; i++) {
          if (i !== round) {
            await expectPairs(group, i);
            continue;
          }
          const mistakes = 1 + (round % 2);
          if (rank === refused) {
            for (let n = 0; n < mistakes; n++) {
              expect(String(await failureOf(MISTAKES[kind]!(group)))).toMatch(/^(Type|Range)Error/);
            }
          }
          const failure = (await failureOf(group.allReduce(new Float64Array(3)))) as Error;
          expect(failure).toBeInstanceOf(MismatchError);
          expect(failure.message).toContain("number of calls refused before this one differs");
          expect(failure.message).toContain(
            mistakes === 1 ? "after a call that was refused" : "after 2 calls that were",
          );
        }
      });
    },
  );

  it.each(Object.keys(MISTAKES))("pairs on if all ranks made the same mistake: %s", async (kind) => {
    await withGroup(transport, 3, async (group) => {
      for (let i = 0; i < ROUNDS; i++) {
        if (i === 2) expect(String(await failureOf(MISTAKES[kind]!(group)))).toMatch(/^(Type|Range)Error/);
        await expectPairs(group, i);
      }
    });
  });
});

/** What a rank does in the round in which ranks differ. */
const DEEDS: Record<string, (group: ProcessGroup) => PromiseLike<unknown>> = {
  "makes the call": (group) => group.allReduce(new Float64Array(3)),
  "is refused": (group) => group.allReduce(new Float64Array(3), { op: "nonsense" as "sum" }),
  "is refused twice": (group) => {
    void DEEDS["is refused"]!(group).then(undefined, () => undefined);
    return DEEDS["is refused"]!(group);
  },
  "sits it out": (group) => group.allReduce(new Float64Array(3), { signal: AbortSignal.abort("enough") }),
  "is refused, then sits one out": (group) => {
    void DEEDS["is refused"]!(group).then(undefined, () => undefined);
    return DEEDS["sits it out"]!(group);
  },
  "gives another count": (group) => group.allReduce(new Float64Array(4)),
};

interface Deeds {
  size: number;
  deeds: readonly string[];
}
const drawnDeeds = (count: number): Deeds[] =>
  Array.from({ length: count }, () => {
    const size = oneOf(2, 3, 4);
    return { size, deeds: Array.from({ length: size }, () => oneOf(...Object.keys(DEEDS))) };
  });

/** By round of this rank, the deed's first: the value of its call, or how it failed. */
async function roundsFrom(group: ProcessGroup, deed: string): Promise<(number | string)[]> {
  const outcomes: (number | string)[] = [String(await failureOf(DEEDS[deed]!(group)))];
  for (let round = 1; round <= 6; round++) {
    const tensor = new Float64Array(1).fill(10 ** round);
    const failure = await failureOf(group.allReduce(tensor, { timeoutMs: 1_500 }));
    outcomes.push(failure === "no error" ? tensor[0]! : String(failure));
    if (group.size > 1 && /TimeoutError|AbortedError/.test(String(failure))) break;
  }
  return outcomes;
}

describe.each([...TEST_TRANSPORTS])("ranks that are refused a call, or sit it out, and go on, over %s", (transport) => {
  it.each([
    { size: 2, deeds: ["is refused", "sits it out"] },
    { size: 2, deeds: ["sits it out", "is refused"] },
    { size: 2, deeds: ["is refused, then sits one out", "makes the call"] },
    { size: 3, deeds: ["makes the call", "is refused", "gives another count"] },
    ...drawnDeeds(8),
  ])("take no other call for their own unheard: %o", async ({ size, deeds }) => {
    const outcomes = await withGroup(transport, size, async (group, rank) => {
      const rounds = await roundsFrom(group, deeds[rank]!);
      group.abort("that is all");
      return rounds;
    });
    for (const [rank, rounds] of outcomes.entries()) {
      for (const [index, outcome] of rounds.entries()) {
        if (typeof outcome === "string" || outcome === size * 10 ** index) continue;
        const hasHeard = rounds.slice(0, index + 1).some((earlier) => /refused/.test(String(earlier)));
        const knows = hasHeard || deeds[rank] === "is refused, then sits one out";
        expect(knows, `rank ${rank} had ${outcome} in its round ${index}, unwarned`).toBe(true);
      }
      expect(rounds.some((outcome) => typeof outcome === "number")).toBe(true);
    }
  });
});
