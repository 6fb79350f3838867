/** Cases of point-to-point messages, objects, subgroups and several works at once. */

import { SeededRandom } from "../support/seeded-random.ts";
import type { CollectiveCase } from "./collectives.ts";
import type { Stage } from "./stage.ts";

/** Tags from the largest down, so that cases with different seeds may run at once. */
function tagOf(stage: Stage, index: number): number {
  return 2 ** 32 - 2 - ((4 * stage.spec.seed + index) % 2 ** 31);
}

/** Two messages to the next rank, received from the rank before, the later tag first. */
const sendRecv: CollectiveCase = {
  reduces: false,
  ranks: 2,
  async run(stage) {
    const { group, rank, size, count } = stage;
    const [next, previous] = [(rank + 1) % size, (rank + size - 1) % size];
    const tags = [tagOf(stage, 0), tagOf(stage, 1)] as const;
    const works = [
      group.send(stage.tensor(stage.input(rank)), next, { tag: tags[0] }),
      group.send(stage.tensor(stage.input(rank, count + 1)), next, { tag: tags[1] }),
    ];
    const late = await group.recv(stage.output(stage.input(previous, count + 1)), previous, { tag: tags[1] });
    const early = await group.recv(stage.output(stage.input(previous)), previous, { tag: tags[0] });
    await Promise.all(works);
    stage.equal("sources of recv", [late, early], [previous, previous]);
  },
};

/**
 * The root receives one message of every other rank, in whatever order they come. It answers at last, so that no rank can
 * send for the next case into this one.
 */
const recvAnySource: CollectiveCase = {
  reduces: false,
  ranks: 2,
  async run(stage) {
    const { group, rank, root, count } = stage;
    const [tag, answerTag] = [tagOf(stage, 2), tagOf(stage, 3)];
    const answer = stage.input(root, 1);
    if (rank !== root) {
      await group.send(stage.tensor(stage.input(rank)), root, { tag });
      await group.recv(stage.output(answer), root, { tag: answerTag });
      return;
    }
    const senders: number[] = [];
    for (let message = 1; message < stage.size; message++) {
      // The expected contents follow from the sender, which is known only after the call.
      const memory = stage.output(stage.input(rank), false);
      const source = await group.recvAnySource(memory, { tag });
      senders.push(source);
      stage.expect(memory, stage.input(source, count));
    }
    const others = stage.ranks.filter((peer) => peer !== root);
    for (const peer of others) await group.send(stage.tensor(answer), peer, { tag: answerTag });
    stage.equal(
      "sources of recvAnySource",
      senders.sort((a, b) => a - b),
      others,
    );
  },
};

const barrier: CollectiveCase = {
  reduces: false,
  dtypes: ["u8"],
  persistent: true,
  async run(stage) {
    await stage.calls.barrier();
  },
};

/** A value of every kind that a message may hold, different on every rank. */
function objectOf(stage: Stage, rank: number): unknown {
  const random = new SeededRandom(stage.spec.seed, "object", rank);
  return {
    rank,
    text: `rang ${rank} – ${"ß".repeat(random.below(40))}`,
    numbers: [random.u32(), -random.u32(), random.u32() / 7, 0, 2 ** 53 - 1],
    nested: { none: null, yes: true, no: false, list: [[], {}, [random.below(100)]] },
    bytes: Uint8Array.from({ length: Math.min(stage.count, 1000) }, () => random.below(256)),
  };
}

const allGatherObject: CollectiveCase = {
  reduces: false,
  dtypes: ["u8"],
  async run(stage) {
    const values = await stage.group.allGatherObject(objectOf(stage, stage.rank));
    stage.equal(
      "values",
      values,
      stage.ranks.map((rank) => objectOf(stage, rank)),
    );
  },
};

const broadcastObject: CollectiveCase = {
  reduces: false,
  dtypes: ["u8"],
  async run(stage) {
    const { root } = stage;
    const value = await stage.group.broadcastObject(stage.rank === root ? objectOf(stage, root) : null, { root });
    stage.equal("value", value, objectOf(stage, root));
  },
};

const gatherObject: CollectiveCase = {
  reduces: false,
  dtypes: ["u8"],
  async run(stage) {
    const { root } = stage;
    const values = await stage.group.gatherObject(objectOf(stage, stage.rank), { root });
    const all = stage.ranks.map((rank) => objectOf(stage, rank));
    stage.equal("values", values, stage.rank === root ? all : null);
  },
};

const scatterObject: CollectiveCase = {
  reduces: false,
  dtypes: ["u8"],
  async run(stage) {
    const { root } = stage;
    const all = stage.rank === root ? stage.ranks.map((rank) => objectOf(stage, rank)) : null;
    stage.equal("value", await stage.group.scatterObject(all, { root }), objectOf(stage, stage.rank));
  },
};

/** Every second rank, the last one first; then an allReduce and a gather among them. */
const newGroup: CollectiveCase = {
  reduces: true,
  dtypes: ["i32", "f32"],
  async run(stage) {
    const members = stage.ranks.filter((rank) => rank % 2 === 1 || stage.size === 1).reverse();
    const group = await stage.group.newGroup(members);
    stage.equal("membership", group !== null, members.includes(stage.rank));
    if (!group) return;
    stage.equal("rank and size", [group.rank, group.size], [members.indexOf(stage.rank), members.length]);
    await within(stage.as({}, group));
    await group.destroy();
  },
};

/** Colours by rank modulo 3, the last of which joins nothing; the order of ranks turned round. */
const split: CollectiveCase = {
  reduces: true,
  dtypes: ["i32", "f32"],
  async run(stage) {
    const { rank, size } = stage;
    const color = rank % 3 === 2 ? null : rank % 3;
    const group = await stage.group.split(color, size - rank);
    stage.equal("membership", group !== null, color !== null);
    if (!group) return;
    const members = stage.ranks.filter((peer) => peer % 3 === color).reverse();
    stage.equal("rank and size", [group.rank, group.size], [members.indexOf(rank), members.length]);
    await within(stage.as({}, group));
    await group.destroy();
  },
};

/** An allReduce and a broadcast in the group of `stage`. */
async function within(stage: Stage): Promise<void> {
  await stage.group.allReduce(stage.tensor(stage.input(stage.rank), stage.reduced()), { op: stage.op });
  const { root } = stage;
  const data = stage.input(root);
  await stage.group.broadcast(stage.rank === root ? stage.tensor(data) : stage.output(data), { root });
}

/** Several works in flight, awaited from the last to the first. */
const concurrent: CollectiveCase = {
  reduces: true,
  persistent: true,
  async run(stage) {
    const { root, rank } = stage;
    const dtypes = (["i32", "f64", "u8"] as const).filter((dtype) => stage.memory.reduces(dtype, "sum"));
    const others = dtypes.map((dtype) => stage.as({ dtype, op: "sum" }));
    const data = stage.input(root);
    const works: PromiseLike<unknown>[] = [stage, ...others].map((one) =>
      one.callsOnce.allReduce(one.tensor(one.input(rank), one.reduced(), true), { op: one.op }),
    );
    works.push(
      stage.callsOnce.broadcast(rank === root ? stage.tensor(data, data, true) : stage.output(data, true), { root }),
    );
    const gathered = stage.ranks.map((peer) => stage.output(stage.input(peer), true));
    works.push(stage.callsOnce.allGather(gathered, stage.tensor(stage.input(rank))));
    works.push(stage.callsOnce.barrier());
    // Observed at once, so that one that is refused is not reported as unobserved.
    void Promise.allSettled(works);
    for (const work of works.reverse()) await work;
  },
};

/** Cases that are more than one collective on tensors. */
export const GROUP_CASES = {
  sendRecv,
  recvAnySource,
  barrier,
  allGatherObject,
  broadcastObject,
  gatherObject,
  scatterObject,
  newGroup,
  split,
  concurrent,
} as const satisfies Record<string, CollectiveCase>;
