/** Merge: the dumps of a job's ranks, put together by group. Ranks here are ranks of the job. */
import type { TraceDump, TraceEntry, TraceGroup } from "../group/trace/dump.ts";

/** One member of a group, as its dump shows it. */
export interface Member {
  /** The rank, of the job. */
  readonly rank: number;
  /** The dump that it left. */
  readonly dump: TraceDump;
  /** The group, as this dump has it. */
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
  /** The group's name. */
  readonly name: string;
  /** How many groups of all ranks the job had before. */
  readonly epoch: number;
  /** Its members, as ranks of the job, in the order of the group's ranks. */
  readonly globalRanks: readonly number[];
  /** The members that left a dump, by rank. */
  readonly members: ReadonlyMap<number, Member>;
}

/** All dumps of one job. */
export interface Trace {
  /** How many ranks the job has. */
  readonly size: number;
  /** In the order of the ranks. */
  readonly dumps: readonly TraceDump[];
  /** The groups of all ranks. */
  readonly groups: readonly MergedGroup[];
  /** Of its groups, the last. */
  readonly epoch: number;
  /** Ranks of the job without a dump; in a later epoch than the first, its members. */
  readonly missing: readonly number[];
  /** Ranks that do not answer, and milliseconds since they last did; their dumps are as old. */
  readonly silent: ReadonlyMap<number, number>;
}

/**
 * The dumps of one job as one trace. `silent` says which ranks have stopped answering, where somebody asks them.
 * @throws RangeError if two are of one rank, or of jobs that began with different sizes.
 */
export function mergeDumps(dumps: readonly TraceDump[], silent: ReadonlyMap<number, number> = new Map()): Trace {
  const sorted = [...dumps].sort((a, b) => a.rank - b.rank);
  const [first] = sorted;
  if (!first) throw new RangeError("there is no dump: pass at least one");
  for (const [index, { rank, size }] of sorted.entries()) {
    if (rank === sorted[index + 1]?.rank) throw new RangeError(`two dumps are of rank ${rank}: pass one for each rank`);
    if (size !== first.size && isOfStart(first) && isOfStart(sorted[index]!)) {
      throw new RangeError(`rank ${first.rank} is of a job of ${first.size} ranks, rank ${rank} of one of ${size}`);
    }
  }
  const ranks = new Set(sorted.map(({ rank }) => rank));
  const groups = new Map<string, MergedGroup & { members: Map<number, Member> }>();
  for (const dump of sorted) {
    for (const [index, group] of dump.groups.entries()) {
      const { name, globalRanks, epoch } = group;
      const key = `${epoch} ${globalRanks.join()} ${name}`;
      const merged = groups.get(key) ?? { name, globalRanks, epoch, members: new Map() };
      groups.set(key, merged);
      merged.members.set(dump.rank, memberOf(dump, index, group));
    }
  }
  const size = mostOf(sorted.map((dump) => dump.size));
  const epoch = mostOf([...groups.values()].map((group) => group.epoch));
  const members = [...groups.values()].flatMap((group) => (group.epoch === epoch ? group.globalRanks : []));
  const all =
    epoch === 0 ? Array.from({ length: size }, (_, rank) => rank) : [...new Set(members)].sort((a, b) => a - b);
  const missing = all.filter((rank) => !ranks.has(rank));
  return { size, epoch, dumps: sorted, groups: [...groups.values()], missing, silent };
}

/** Has the job of this dump the ranks that it began with? Later ones know of another number. */
function isOfStart({ groups }: TraceDump): boolean {
  return groups.every(({ epoch }) => epoch === 0);
}

/** The largest; 0 for none. */
function mostOf(numbers: Iterable<number>): number {
  let most = 0;
  for (const number of numbers) most = Math.max(most, number);
  return most;
}

function memberOf(dump: TraceDump, index: number, group: TraceGroup): Member {
  const entries = dump.entries.filter((entry) => entry.group === index);
  const collectives = new Map(
    entries.filter(({ isPointToPoint }) => !isPointToPoint).map((entry) => [entry.sequence, entry]),
  );
  return {
    ...{ rank: dump.rank, dump, group, collectives },
    messages: entries.filter(({ isPointToPoint }) => isPointToPoint),
    last: Math.max(group.lastSequence, mostOf(collectives.keys())),
  };
}
