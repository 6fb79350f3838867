import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { MismatchError } from "../../src/errors.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import type { Work } from "../../src/group/work.ts";
import { initProcessGroup } from "../../src/node/index.ts";
import { ReduceOp } from "../../src/reduce-op.ts";
import { initMethodOf, type TestTransport } from "../conformance/harness.ts";

let transport: TestTransport = "memory";
let groups: ProcessGroup[] = [];

async function newGroups(size: number): Promise<ProcessGroup[]> {
  const initMethod = await initMethodOf(transport);
  groups = await Promise.all(
    Array.from({ length: size }, (_, rank) =>
      initProcessGroup({ initMethod, rank, worldSize: size, transport, timeoutMs: 5_000 }),
    ),
  );
  return groups;
}

afterEach(async () => {
  await Promise.all(groups.map((group) => group.destroy()));
});

/** What the call rejects with, or null. */
const failureOf = (call: PromiseLike<unknown>): Promise<MismatchError | null> =>
  Promise.resolve(call).then(
    () => null,
    (error) => error,
  );

/** Runs one call per rank; all must reject with the same MismatchError that has these words; then the group must work. */
async function expectMismatch(
  size: number,
  call: (group: ProcessGroup) => Work<unknown>,
  words: RegExp,
): Promise<void> {
  const members = await newGroups(size);
  const errors = await Promise.all(members.map((group) => failureOf(call(group))));
  for (const error of errors) {
    expect(error).toBeInstanceOf(MismatchError);
    expect(error!.message).toMatch(words);
    expect(error!.message).toMatch(/\(WEBCCL_DEBUG=DETAIL, or setDebugLevel, adds the line of each rank's call\)$/);
    expect(error!.message).toBe(errors[0]!.message);
    // With two ranks, and a collective that writes nothing of its own, no byte can have come.
    if (size === 2 && !/allGather/.test(error!.message)) expect(error!.tensors).toBe("untouched");
  }
  await Promise.all(
    members.map(async (group) => {
      const tensor = new Int32Array([group.rank]);
      await group.allReduce(tensor);
      expect(tensor[0]).toBe((size * (size - 1)) / 2);
    }),
  );
}

const f32 = (count: number) => new Float32Array(count);

describe.each(["memory", "mapped-memory", "shared-file"] as const)("a mismatch over %s", (kind) => {
  beforeEach(() => {
    transport = kind;
  });

  it("of the collective", async () => {
    await expectMismatch(
      3,
      (group) => (group.rank === 1 ? group.barrier() : group.allReduce(f32(4))),
      /call 1: collective differs: (?=.*rank [02] called allReduce\(f32, count 4, op sum\))(?=.*rank 1 called barrier\(\))/,
    );
  });

  it("of the dtype", async () => {
    await expectMismatch(
      2,
      (group) => group.allReduce(group.rank === 0 ? f32(4) : new Int32Array(4)),
      /dtype differs: rank 0 called allReduce\(f32.*rank 1 called allReduce\(i32/,
    );
  });

  it("of the count, also when one rank's count is 0", async () => {
    await expectMismatch(2, (group) => group.allReduce(f32(5 + group.rank)), /count differs: .*count 5.*count 6/);
    const members = await newGroups(2);
    // Rank 0's call needs no message and may be over before rank 1's begins; rank 1's must still be refused.
    const [, second] = await Promise.all(members.map((group) => failureOf(group.allReduce(f32(group.rank * 5)))));
    expect(second).toBeInstanceOf(MismatchError);
    expect(second!.message).toMatch(/count differs: .*count 0.*count 5/);
  });

  it("of the count at a size where the algorithms differ too", async () => {
    await expectMismatch(4, (group) => group.allReduce(f32(group.rank === 2 ? 1_000_000 : 4)), /count differs/);
  });

  it("of the op", async () => {
    await expectMismatch(
      3,
      (group) => group.allReduce(f32(4), { op: group.rank === 2 ? "max" : "sum" }),
      /reduce op differs: .*op (sum|max)/,
    );
  });

  it("of a custom op's wgsl", async () => {
    const op = (wgsl: string) =>
      ReduceOp.custom({ name: "add", wgsl, js: (a: number, b: number) => a + b, identity: 0, commutative: true });
    await expectMismatch(
      2,
      (group) => group.allReduce(f32(4), { op: op(group.rank ? "a + b" : "b + a") }),
      /custom reduce op/,
    );
  });

  it("of the root, though nobody would send", async () => {
    await expectMismatch(
      2,
      (group) => group.broadcast(f32(4), { root: 1 - group.rank }),
      /root differs: rank 0 called broadcast\(f32, count 4, root 1\), rank 1 called broadcast\(f32, count 4, root 0\)/,
    );
  });

  it("of the list of counts", async () => {
    await expectMismatch(
      2,
      (group) => {
        const [mine, theirs] = group.rank === 0 ? [3, 4] : [3, 5];
        const counts = group.rank === 0 ? [mine, theirs] : [theirs, mine];
        return group.allGather(
          counts.map((count) => f32(count)),
          f32(mine),
        );
      },
      /count differs|list of counts differs/,
    );
  });

  it("of one pair's lengths in allToAll", async () => {
    const members = await newGroups(3);
    const errors = await Promise.all(
      members.map((group) => {
        const inputs = [0, 1, 2].map((peer) => f32(group.rank === 0 && peer === 2 ? 7 : 2));
        return failureOf(group.allToAll([f32(2), f32(2), f32(2)], inputs));
      }),
    );
    expect(errors[2]).toBeInstanceOf(MismatchError);
    expect(errors[2]!.message).toMatch(/rank 0 sent 28 bytes where rank 2 expected 8: count differs/);
  });

  it("of the algorithm", async () => {
    await expectMismatch(
      2,
      (group) => group.allReduce(f32(4), { algorithm: group.rank ? "ring" : "doubling" }),
      /algorithm differs/,
    );
  });

  it("of newGroup's ranks", async () => {
    const members = await newGroups(3);
    const errors = await Promise.all(
      members.map((group) => failureOf(group.newGroup(group.rank === 1 ? [0, 1] : [0, 2]))),
    );
    for (const error of errors) expect(error!.message).toMatch(/list of ranks, or name differs/);
  });

  it("is noticed by a rank that comes later", async () => {
    const members = await newGroups(3);
    const early = await Promise.all(
      members.slice(0, 2).map((group) => failureOf(group.allReduce(f32(4 + group.rank)))),
    );
    const late = await failureOf(members[2]!.allReduce(f32(4)));
    for (const error of [...early, late]) expect(error!.message).toBe(early[0]!.message);
    await Promise.all(members.map((group) => group.barrier()));
  });

  it("of a message's dtype or count rejects on both sides, and the next message comes through", async () => {
    const [a, b] = (await newGroups(2)) as [ProcessGroup, ProcessGroup];
    const big = 4_000_000;
    const sent = failureOf(a.send(f32(big), 1));
    const received = await failureOf(b.recv(f32(big - 1), 0));
    expect(received).toBeInstanceOf(MismatchError);
    expect(received!.message).toMatch(
      /count differs: rank 0 called send\(f32, count 4000000, tag 0\), rank 1 called recv\(f32, count 3999999, tag 0\)/,
    );
    expect((await sent)!.message).toBe(received!.message);
    const work = a.send(Float32Array.of(1, 2), 1);
    const tensor = f32(2);
    expect(await b.recv(tensor, 0)).toBe(0);
    await work;
    expect([...tensor]).toEqual([1, 2]);
  });
});
