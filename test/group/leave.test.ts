/** A rank that leaves a subgroup: whoever of the subgroup waits for it is told, and the world goes on. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { TEST_TRANSPORTS, withGroup } from "../conformance/harness.ts";

const SIZE = 3;

/** Calls that no rank can end while one is missing. */
const CALLS: Record<string, (group: ProcessGroup, leaver: number) => PromiseLike<unknown>> = {
  allReduce: (group) => group.allReduce(new Float32Array(5)),
  longAllReduce: (group) => group.allReduce(new Float32Array(600_000)),
  barrier: (group) => group.barrier(),
  allGatherObject: (group) => group.allGatherObject({ rank: group.rank }),
  recv: (group, leaver) => group.recv(new Float32Array(2), leaver),
};

const situation = fc.record({
  call: fc.constantFrom(...Object.keys(CALLS)),
  leaver: fc.nat(SIZE - 1),
  /** Who waits makes its call before the leave, or after it. */
  isEarly: fc.boolean(),
});

const failureOf = (call: PromiseLike<unknown>): Promise<unknown> =>
  Promise.resolve(call).then(
    () => "no error",
    (error) => error,
  );

describe.each([...TEST_TRANSPORTS])("a member that leaves a subgroup, over %s", (transport) => {
  it("is named to those who wait for it, and the world stays whole", async () => {
    await withGroup(transport, SIZE, async (world, rank) => {
      const inputs = fc.sample(situation, { numRuns: 12, seed: 12 });
      for (const { call, leaver, isEarly } of inputs) {
        const group = await world.newGroup([0, 1, 2]);
        await group!.barrier();
        if (rank === leaver) {
          if (isEarly) await world.recv(new Uint8Array(1), (leaver + 1) % SIZE);
          await group!.destroy();
          await world.barrier();
        } else {
          if (!isEarly) await world.barrier();
          const failure = failureOf(CALLS[call]!(group!, leaver));
          if (isEarly && rank === (leaver + 1) % SIZE) await world.send(new Uint8Array(1), leaver);
          expect(await failure, `${call} of rank ${rank}`).toMatchObject({ code: "PEER_LOST", rank: leaver });
          if (isEarly) await world.barrier();
          await group!.destroy();
        }
        const sum = new Int32Array([rank]);
        await world.allReduce(sum);
        expect(sum).toEqual(new Int32Array([3]));
      }
    });
  });
});
