/** Situations of a job whose traces PyTorch's analyser is given: how they come about, and what it is to say. */
import { initProcessGroup, type ProcessGroup } from "../../src/node/index.ts";
import type { TraceDump } from "../../src/trace/index.ts";

const f32 = (count = 4) => new Float32Array(count);
const ignore = () => undefined;

export interface TraceCase {
  readonly name: string;
  readonly size: number;
  /** Makes the calls; nobody needs to await those that hang. */
  run(groups: readonly ProcessGroup[]): Promise<unknown>;
  /** What the analyser prints; a regular expression. */
  readonly says: string;
  /** It prints this only where something is wrong. */
  readonly never?: string;
}

const WRONG = "Culprit|missing ranks|Not all ranks|has errors|cannot decide|mismatch";

const lists = (group: ProcessGroup, count: (rank: number) => number) =>
  Array.from({ length: group.size }, (_, rank) => f32(count(rank)));

/** Every kind of call that there is, all well. */
const ALL_CALLS: readonly ((group: ProcessGroup) => PromiseLike<unknown>)[] = [
  (g) => g.broadcast(f32()),
  (g) => g.allReduce(f32()),
  (g) => g.reduce(f32(), { root: 1 }),
  (g) =>
    g.allGather(
      lists(g, () => 4),
      f32(),
    ),
  (g) =>
    g.allGather(
      lists(g, (rank) => rank + 1),
      f32(g.rank + 1),
    ),
  (g) => g.allGatherIntoTensor(f32(4 * g.size), f32()),
  (g) => g.gather(g.rank === 0 ? lists(g, () => 4) : null, f32()),
  (g) => g.scatter(f32(), g.rank === 0 ? lists(g, () => 4) : null),
  (g) =>
    g.reduceScatter(
      f32(),
      lists(g, () => 4),
    ),
  (g) => g.reduceScatterTensor(f32(2), f32(2 * g.size)),
  (g) =>
    g.allToAll(
      lists(g, () => 4),
      lists(g, () => 4),
    ),
  (g) => g.allToAllSingle(f32(g.size), f32(g.size)),
  (g) => g.barrier(),
  (g) => g.scan(f32()),
  (g) => g.exscan(new BigInt64Array(3)),
  (g) => g.allGatherObject({ rank: g.rank, text: "x".repeat(g.rank) }),
  (g) => g.broadcastObject("a"),
  (g) => g.allReduceCoalesced([f32(), f32(3)]),
  (g) => g.allGatherIntoTensorCoalesced([f32(4 * g.size)], [f32()]),
  (g) => g.reduceScatterTensorCoalesced([f32(2)], [f32(2 * g.size)]),
  (g) => g.send(f32(), (g.rank + 1) % g.size, { tag: 3 }),
  (g) => g.recv(f32(), (g.rank + g.size - 1) % g.size, { tag: 3 }),
  async (g) => (await g.newGroup([2, 0]))?.allReduce(f32(7)),
  async (g) => (await g.split(g.rank % 2))!.barrier(),
];

export const TRACE_CASES: readonly TraceCase[] = [
  {
    name: "healthy",
    size: 3,
    run: async (groups) => {
      for (const call of ALL_CALLS) await Promise.all(groups.map(call));
    },
    says: "",
    never: WRONG,
  },
  {
    name: "missing rank",
    size: 4,
    run: async (groups) => {
      for (let call = 0; call < 11; call++) await Promise.all(groups.map((group) => group.allReduce(f32())));
      for (const group of groups) if (group.rank !== 2) group.allReduce(f32()).catch(ignore);
    },
    says: "Not all ranks joining collective, sequence number: 12[\\s\\S]*missing ranks: \\{2\\}",
  },
  {
    name: "mismatch of counts",
    size: 2,
    run: async (groups) => {
      await Promise.all(groups.map((group) => group.barrier()));
      await Promise.allSettled(groups.map((group) => group.allReduce(f32(4 + group.rank))));
    },
    says: "Collective sequence number: 2 has errors[\\s\\S]*Culprit rank 1; Error type: SIZE_OR_SYNTAX_MISMATCH",
  },
  {
    name: "mismatch of collectives",
    size: 2,
    run: (groups) => Promise.allSettled(groups.map((g) => (g.rank === 0 ? g.allReduce(f32()) : g.barrier()))),
    says: "Collective sequence number: 1 has errors[\\s\\S]*Culprit rank 1; Error type: COLLECTIVE_TYPE_MISMATCH",
  },
  {
    name: "mismatch of dtypes",
    size: 2,
    run: (groups) => Promise.allSettled(groups.map((g) => g.allReduce(g.rank === 0 ? f32() : new Int32Array(4)))),
    says: "Culprit rank 1; Error type: COLLECTIVE_DTYPE_MISMATCH",
  },
];

/** The dumps of a case's ranks, which are tasks of this process. */
export async function dumpsOf({ name, size, run }: TraceCase): Promise<TraceDump[]> {
  const quiet = { error: ignore, warn: ignore, info: ignore, debug: ignore };
  const initMethod = `memory://${name.replaceAll(" ", "-")}`;
  const groups = await Promise.all(
    Array.from({ length: size }, (_, rank) => initProcessGroup({ initMethod, rank, worldSize: size, logger: quiet })),
  );
  await run(groups);
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  const dumps = await Promise.all(groups.map((group) => group.dumpTrace()));
  await Promise.all(groups.map((group) => group.destroy()));
  return dumps;
}
