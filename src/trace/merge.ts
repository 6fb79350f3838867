/** Merge: the dumps of a job's ranks, put together by group. Ranks here are ranks of the job. */
import type { TraceDump, TraceEntry, TraceGroup } from "../group/trace/dump.ts";

/** One member of a group, as its dump shows it. */
export interface Member {
  readonly rank: number;
  readonly dump: TraceDump;
  readonly group: TraceGroup;
  /** Its collectives in the group that the dump still has, by sequence. */
  readonly collectives: ReadonlyMap<number, TraceEntry>;
  /** Its point-to-point calls in the group that the dump still has, in order. */
  readonly messages: readonly TraceEntry[];
  /** The number of its last collective in the group; 0 if it made none. */
  readonly last: number;
}

/** One group of the job. */
export interface MergedGroup {
  readonly name: string;
  readonly globalRanks: readonly number[];
  /** The members that left a dump, by rank. */
  readonly members: ReadonlyMap<number, Member>;
}

/** All dumps of one job. */
export interface Trace {
  readonly size: number;
  /** In the order of the ranks. */
  readonly dumps: readonly TraceDump[];
  readonly groups: readonly MergedGroup[];
  /** Ranks of the job without a dump. */
  readonly missing: readonly number[];
  /** Ranks that do not answer, and milliseconds since they last did; their dumps are as old. */
  readonly silent: ReadonlyMap<number, number>;
}

/**
 * The dumps of one job as one trace. `silent` says which ranks have stopped answering, where somebody asks them.
 * @throws RangeError if two are of one rank, or of jobs of different sizes.
 */
export function mergeDumps(dumps: readonly TraceDump[], silent: ReadonlyMap<number, number> = new Map()): Trace {
  const sorted = [...dumps].sort((a, b) => a.rank - b.rank);
  const [first] = sorted;
  if (!first) throw new RangeError("there is no dump: pass at least one");
  for (const [index, { rank, size }] of sorted.entries()) {
    if (rank === sorted[index + 1]?.rank) throw new RangeError(`two dumps are of rank ${rank}: pass one for each rank`);
    if (size !== first.size) {
      throw new RangeError(`rank ${first.rank} is of a job of ${first.size} ranks, rank ${rank} of one of ${size}`);
    }
  }
  const ranks = new Set(sorted.map(({ rank }) => rank));
  const groups = new Map<string, { name: string; globalRanks: readonly number[]; members: Map<number, Member> }>();
  for (const dump of sorted) {
    for (const [index, group] of dump.groups.entries()) {
      const { name, globalRanks } = group;
      const key = `${globalRanks.join()} ${name}`;
      const merged = groups.get(key) ?? { name, globalRanks, members: new Map() };
      groups.set(key, merged);
      merged.members.set(dump.rank, memberOf(dump, index, group));
    }
  }
  return {
    size: first.size,
    dumps: sorted,
    groups: [...groups.values()],
    missing: Array.from({ length: first.size }, (_, rank) => rank).filter((rank) => !ranks.has(rank)),
    silent,
  };
}

function memberOf(dump: TraceDump, index: number, group: TraceGroup): Member {
  const entries = dump.entries.filter((entry) => entry.group === index);
  const collectives = new Map(
    entries.filter(({ isPointToPoint }) => !isPointToPoint).map((entry) => [entry.sequence, entry]),
  );
  return {
    ...{ rank: dump.rank, dump, group, collectives },
    messages: entries.filter(({ isPointToPoint }) => isPointToPoint),
    last: Math.max(0, ...collectives.keys()),
  };
}
