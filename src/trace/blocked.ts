/**
 * Blocked: the calls that have not ended, or that ended because their group died, and the ranks for which each waits. Whom a
 * chain of such waits ends with is the culprit.
 */
import type { TraceEntry, TraceGroup } from "../group/trace/dump.ts";
import type { Member, MergedGroup, Trace } from "./merge.ts";

/** Errors of calls that were waiting when their group died. */
const DIED = new Set(["TIMEOUT", "PEER_LOST", "ABORTED", "HUB_LOST", "INTEGRITY", "DEVICE_LOST"]);

/** A call of a rank that waits, or waited to the end. */
export interface Blocked {
  readonly group: MergedGroup;
  readonly member: Member;
  readonly entry: TraceEntry;
  /** Ranks of the job. */
  readonly waitsFor: readonly number[];
  /** Why it waits: ranks have not come to the call, are inside it, or have not met its message. */
  readonly because: "absent" | "inside" | "message";
}

/** Has the call not ended, or has its group's death ended it, while this rank did not leave it by itself? */
function isBlocked({ retired, error }: TraceEntry, { dead, left }: TraceGroup): boolean {
  return !retired || (dead !== null && error !== null && DIED.has(error.code) && !(left && error.code === "ABORTED"));
}

/**
 * The blocked calls of all ranks. Of the collectives of a group only a rank's first counts: those behind it wait for that one. A
 * rank that does not answer is left out, for nobody knows what it waits for now.
 */
export function blockedCalls(trace: Trace): Blocked[] {
  return trace.groups.flatMap((group) =>
    [...group.members.values()].flatMap((member) => {
      if (trace.silent.has(member.rank)) return [];
      const [entry] = [...member.collectives.values()].filter((one) => isBlocked(one, member.group));
      const messages = member.messages.filter((one) => isBlocked(one, member.group));
      return [
        ...(entry ? [blockedCollective(trace, group, member, entry)] : []),
        ...messages.map((message) => blockedMessage(group, member, message)),
      ];
    }),
  );
}

function blockedCollective(trace: Trace, group: MergedGroup, member: Member, entry: TraceEntry): Blocked {
  const { globalRanks, members } = group;
  const others = globalRanks.filter((rank) => rank !== member.rank);
  const absent = others.filter((rank) => (members.get(rank)?.last ?? 0) < entry.sequence);
  // A rank that has stopped answering may have come to the call since; whoever waits for it still does.
  const silent = others.filter((rank) => trace.silent.has(rank) && isOpen(members.get(rank), entry.sequence));
  const waitsFor = [...new Set([...absent, ...silent])];
  if (waitsFor.length > 0) return { group, member, entry, waitsFor, because: "absent" };
  const named = entry.waitingFor.length > 0 ? entry.waitingFor : (entry.error?.ranks ?? []);
  const ranks = named.flatMap((rank) => globalRanks[rank] ?? []);
  return {
    ...{ group, member, entry, because: "inside" },
    // Whoever has ended the call owes nothing to it.
    waitsFor: ranks.filter((rank) => rank !== member.rank && isOpen(members.get(rank), entry.sequence)),
  };
}

/** Has this member not been seen to end the call well? */
function isOpen(member: Member | undefined, sequence: number): boolean {
  const entry = member?.collectives.get(sequence);
  return !entry?.retired || (member !== undefined && isBlocked(entry, member.group));
}

function blockedMessage(group: MergedGroup, member: Member, entry: TraceEntry): Blocked {
  const { globalRanks } = group;
  const others = globalRanks.filter((rank) => rank !== member.rank);
  const waitsFor = entry.peer === null ? others : globalRanks.slice(entry.peer, entry.peer + 1);
  return { group, member, entry, waitsFor, because: "message" };
}

/** The blocked calls that wait for a rank which is blocked nowhere, or does not answer; or all of them, if each waits for another (a deadlock). */
export function rootCauses(
  trace: Trace,
  blocked: readonly Blocked[],
): { causes: readonly Blocked[]; isDeadlock: boolean } {
  const waiting = new Set(blocked.filter(({ waitsFor }) => waitsFor.length > 0).map(({ member }) => member.rank));
  const isCulprit = (rank: number) => !waiting.has(rank) || trace.silent.has(rank);
  const causes = blocked.filter(({ waitsFor, entry }) =>
    // A receive from any rank waits for all others: it names nobody who waits himself.
    entry.collective === "recvAnySource" ? waitsFor.every(isCulprit) : waitsFor.some(isCulprit),
  );
  if (causes.length > 0) {
    return {
      causes: causes.map((cause) => ({ ...cause, waitsFor: cause.waitsFor.filter(isCulprit) })),
      isDeadlock: false,
    };
  }
  return { causes: circleOf(blocked.filter(({ waitsFor }) => waitsFor.length > 0)), isDeadlock: true };
}

/** The calls of ranks that wait for each other, without those of ranks behind them, for which nobody waits. */
function circleOf(blocked: readonly Blocked[]): readonly Blocked[] {
  const awaited = new Set(blocked.flatMap(({ waitsFor }) => waitsFor));
  const circle = blocked.filter(({ member }) => awaited.has(member.rank));
  return circle.length === blocked.length ? blocked : circleOf(circle);
}
