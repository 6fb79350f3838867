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
export function isBlocked({ retired, error }: TraceEntry, { dead, left }: TraceGroup): boolean {
  return !retired || (dead !== null && error !== null && DIED.has(error.code) && !(left && error.code === "ABORTED"));
}

/** Every blocked call that could begin, those of a group from the first on. A call behind another one of its rank waits for that one, and is left out. */
export function blockedCalls(trace: Trace): Blocked[] {
  return trace.groups.flatMap((group) => {
    const first = firstBlocked(group);
    return [...group.members.values()].flatMap((member) => {
      const entry = member.collectives.get(first);
      const messages = member.messages
        .filter((one) => isBlocked(one, member.group))
        .map((message) => blockedMessage(group, member, message));
      return [
        ...(entry && isBlocked(entry, member.group) ? [blockedCollective(trace, group, member, entry)] : []),
        ...messages,
      ];
    });
  });
}

/** The number of the first collective in which some rank waits; Infinity if none does. */
function firstBlocked({ members }: MergedGroup): number {
  let first = Number.POSITIVE_INFINITY;
  for (const { collectives, group } of members.values()) {
    for (const [sequence, entry] of collectives) if (isBlocked(entry, group)) first = Math.min(first, sequence);
  }
  return first;
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
  return {
    ...{ group, member, entry, because: "inside" },
    waitsFor: named.flatMap((rank) => globalRanks[rank] ?? []).filter((rank) => rank !== member.rank),
  };
}

/** Has this member not been seen to end the call? */
function isOpen(member: Member | undefined, sequence: number): boolean {
  return !member?.collectives.get(sequence)?.retired;
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
  return { causes: blocked.filter(({ waitsFor }) => waitsFor.length > 0), isDeadlock: true };
}
