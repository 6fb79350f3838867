/** Ranks that do not call the same: all of them are told, with both sides of the story, and the group is whole. */
import { describe, expect, it } from "vitest";
import { MismatchError } from "../../src/errors.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { ReduceOp } from "../../src/reduce-op.ts";
import { TEST_TRANSPORTS, withGroup } from "../conformance/harness.ts";
import { errorOf, expectWhole } from "./helpers.ts";

const f32 = () => new Float32Array(6);
const i32 = () => new Int32Array(6);

/** Ranks that disagree: what each rank calls, and what every rank's message must name. */
interface Disagreement {
  name: string;
  call(group: ProcessGroup): unknown;
  says: RegExp[];
  /** A rank that only sends may be done before the other side of the story reaches it. */
  sendersMayResolve?: true;
}

const DISAGREEMENTS: Disagreement[] = [
  {
    name: "count",
    call: (group) => group.allReduce(new Float32Array(group.rank === 1 ? 5 : 4)),
    says: [/count/, /\b4\b/, /\b5\b/],
  },
  {
    name: "dtype",
    call: (group) => group.allReduce(group.rank === 1 ? i32() : f32()),
    says: [/dtype/, /f32/, /i32/],
  },
  {
    name: "collective",
    call: (group) => (group.rank === 1 ? group.broadcast(f32()) : group.allReduce(f32())),
    says: [/collective/, /broadcast/, /allReduce/],
  },
  {
    name: "collective, one of them without tensors",
    call: (group) => (group.rank === 1 ? group.barrier() : group.allReduce(f32())),
    says: [/collective/, /barrier/, /allReduce/],
  },
  {
    name: "root",
    call: (group) => group.broadcast(f32(), { root: group.rank === 1 ? 1 : 0 }),
    says: [/root/, /root 0/, /root 1/],
    sendersMayResolve: true,
  },
  {
    name: "reduce op",
    call: (group) => group.allReduce(f32(), { op: group.rank === 1 ? "max" : "sum" }),
    says: [/op/, /max/, /sum/],
  },
  {
    name: "custom op",
    call: (group) => {
      const js = (a: number, b: number) => a + b;
      const name = group.rank === 1 ? "mine" : "yours";
      const op = ReduceOp.custom({ name, wgsl: "a + b", js, identity: 0, commutative: true });
      return group.allReduce(f32(), { op });
    },
    says: [/custom/],
  },
  {
    name: "algorithm",
    call: (group) => group.allReduce(f32(), { algorithm: group.rank === 1 ? "ring" : "doubling" }),
    says: [/algorithm/],
  },
  {
    name: "list of counts",
    call: (group) => {
      const lengths = group.rank === 1 ? [3, 4, 5].slice(0, group.size) : [3, 3, 5].slice(0, group.size);
      const outputs = lengths.map((length) => new Float32Array(length));
      return group.allGather(outputs, new Float32Array(lengths[group.rank] as number));
    },
    says: [/count/],
  },
];

for (const transport of TEST_TRANSPORTS) {
  describe(`ranks that disagree, over ${transport}`, () => {
    for (const { name, call, says, sendersMayResolve } of DISAGREEMENTS) {
      it(`reject with one MismatchError that names both sides: ${name}`, async () => {
        const messages = await withGroup(transport, 3, async (group) => {
          const thrown = await Promise.resolve(call(group)).then(
            () => null,
            (error: Error) => error,
          );
          await expectWhole(group);
          if (thrown === null) return null;
          expect(thrown).toBeInstanceOf(MismatchError);
          for (const text of [/\brank 1\b/, /\brank [02]\b/, ...says]) expect(thrown.message).toMatch(text);
          return thrown.message;
        });
        const rejected = messages.filter((message) => message !== null);
        expect(new Set(rejected).size).toBe(1);
        if (!sendersMayResolve) expect(rejected.length).toBe(3);
      });
    }

    it("reject a message of another length than is awaited, and the group is whole", async () => {
      await withGroup(transport, 2, async (group, rank) => {
        // A small message is on its way before anyone can object: the sender may have succeeded.
        if (rank === 0) await group.send(new Float32Array(4), 1).catch(() => {});
        else {
          const thrown = await errorOf(() => group.recv(new Float32Array(5), 0));
          expect(thrown).toBeInstanceOf(MismatchError);
          for (const text of [/rank 0/, /rank 1/, /\b4\b/, /\b5\b/]) expect(thrown.message).toMatch(text);
        }
        await expectWhole(group);
      });
    });
  });
}
