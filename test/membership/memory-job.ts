/** Groups of ranks of this thread, for tests of the membership. */
import { loseMemoryRank } from "../../src/link/memory/links.ts";
import { type InitOptions, initProcessGroup, type PrefixStore, type ProcessGroup } from "../../src/node/index.ts";

let jobs = 0;

/** A group of `size` ranks of this thread, and what a test does with them. `backendOf` gives each its backend. */
export async function memoryJob(
  size: number,
  timeoutMs = 5_000,
  backendOf: (rank: number) => NonNullable<InitOptions["backend"]> = () => "cpu",
) {
  const name = `membership-${jobs++}`;
  const initMethod = `memory://${name}`;
  const options = { initMethod, timeoutMs, backend: "cpu" as const };
  const groups = await Promise.all(
    Array.from({ length: size }, (_, rank) =>
      initProcessGroup({ ...options, rank, worldSize: size, backend: backendOf(rank) }),
    ),
  );
  return {
    groups,
    lose: (seat: number) => loseMemoryRank(name, seat),
    join: () => initProcessGroup({ ...options, join: true }),
    /** Resolves when so many ranks wait that have not been let in. */
    knocks: async (group: ProcessGroup, count: number) => {
      const { store } = group as unknown as { store: PrefixStore };
      const job = store.underlyingStore;
      const served = await job.add("membership/served", 0);
      await job.wait([`membership/knock/${served + count}`]);
    },
  };
}

/** What allReduce gives of each rank's number in `globalRanks`, plus one. */
export async function sums(groups: readonly ProcessGroup[]): Promise<number[]> {
  return Promise.all(
    groups.map(async (group) => {
      const tensor = new Int32Array([(group.globalRanks[group.rank] ?? 0) + 1]);
      await group.allReduce(tensor);
      return tensor[0]!;
    }),
  );
}
