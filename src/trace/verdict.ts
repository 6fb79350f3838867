/** Verdict: what is wrong, in one sentence. Ranks are ranks of the job. */
import { type Blocked, blockedCalls, rootCauses } from "./blocked.ts";
import type { Member, MergedGroup, Trace } from "./merge.ts";
import { type Mismatch, mismatchAt } from "./mismatch.ts";
import { callText, lastedMs, ranksText, timeText, verb } from "./words.ts";

/** What kind of trouble it is. */
export type VerdictKind =
  /** Nothing is wrong as far as the dumps tell. */
  | "healthy"
  /** Ranks have not come to a call in which others wait. */
  | "missing-rank"
  /** All ranks have come to a call, and some keep it from ending. */
  | "stalled"
  /** Ranks made different calls. */
  | "mismatch"
  /** A message has no partner. */
  | "message"
  /** Ranks wait for each other. */
  | "deadlock"
  /** Ranks that have ended all their calls made fewer than the others. */
  | "stopped"
  /** A group is dead, and no call shows why. */
  | "dead"
  /** There is no dump of some ranks, and the others are well. */
  | "missing-dump";

/** What a trace shows. */
export interface Verdict {
  /** What is wrong, in one word. */
  readonly kind: VerdictKind;
  /** The same in one sentence. */
  readonly sentence: string;
  /** The ranks at fault, as far as can be told. */
  readonly culprits: readonly number[];
  /** The ranks that wait. */
  readonly waiting: readonly number[];
  /** For how many milliseconds the one that waits longest has waited. */
  readonly waitedMs: number;
}

/** What is wrong in a trace, the cause before its consequences. Groups of earlier epochs are over, and nothing is wrong with them. */
export function verdictOf(whole: Trace): Verdict {
  const trace = { ...whole, groups: whole.groups.filter(({ epoch }) => epoch === whole.epoch) };
  const blocked = blockedCalls(trace);
  const differing = firstMismatch(trace, blocked);
  if (differing) {
    const waiting = blocked.filter(({ group }) => group === differing.group).map(({ member }) => member.rank);
    return verdict("mismatch", inGroup(trace, differing.group, differing.sentence), differing.ranks, waiting, 0);
  }
  return blockedVerdict(trace, blocked) ?? stoppedVerdict(trace) ?? deadVerdict(trace) ?? quietVerdict(trace, blocked);
}

/** The first call that differs between ranks, among those that hang and those that ended with a MismatchError and were a rank's last. */
function firstMismatch(trace: Trace, blocked: readonly Blocked[]): Mismatch | null {
  const suspects = [
    ...blocked
      .filter(({ because }) => because !== "message")
      .map(({ group, entry }) => ({ group, sequence: entry.sequence })),
    ...trace.groups.flatMap((group) =>
      [...group.members.values()].flatMap(({ collectives, last }) =>
        collectives.get(last)?.error?.code === "MISMATCH" ? [{ group, sequence: last }] : [],
      ),
    ),
  ];
  for (const { group, sequence } of suspects) {
    const found = mismatchAt(group, sequence) ?? saidMismatch(group, sequence);
    if (found) return found;
  }
  return null;
}

/** The mismatch as the ranks' error tells it, where the dumps do not show the field. */
function saidMismatch(group: MergedGroup, sequence: number): Mismatch | null {
  for (const { collectives } of group.members.values()) {
    const error = collectives.get(sequence)?.error;
    if (error?.code === "MISMATCH") return { group, sequence, field: "call", ranks: [], sentence: error.message };
  }
  return null;
}

function blockedVerdict(trace: Trace, blocked: readonly Blocked[]): Verdict | null {
  const { causes, isDeadlock } = rootCauses(trace, blocked);
  const [first] = [...causes].sort((a, b) => rankOfCause(a) - rankOfCause(b) || waitOf(b) - waitOf(a));
  if (!first) return null;
  if (isDeadlock) return deadlockVerdict(trace, causes);
  const same = causes.filter(
    ({ group, entry, because }) =>
      group === first.group && because === first.because && (because === "message" ? entry === first.entry : true),
  );
  const waiting = [...new Set(same.map(({ member }) => member.rank))];
  const culprits = [...new Set(same.flatMap(({ waitsFor }) => waitsFor))].sort((a, b) => a - b);
  const waitedMs = Math.max(...same.map(waitOf));
  const call = callText(first.entry, first.group.globalRanks);
  const since = timeText(waitedMs);
  if (first.because === "message") {
    const sentence = `${ranksText(waiting)} ${isOver(first) ? "waited" : "waits"} in ${call} since ${since}, and ${messageText(trace, first)}`;
    return verdict("message", inGroup(trace, first.group, sentence), culprits, waiting, waitedMs);
  }
  const wait = isOver(first) ? "waited there for" : `${verb(waiting, "waits", "wait")} there since`;
  const tail = `${ranksText(waiting)} ${wait} ${since}`;
  if (first.because === "inside") {
    const sentence = `all ranks entered ${call}, and ${ranksText(culprits)} ${verb(culprits, "keeps", "keep")} it from ending; ${tail}`;
    return verdict("stalled", inGroup(trace, first.group, sentence), culprits, waiting, waitedMs);
  }
  return verdict(
    "missing-rank",
    inGroup(trace, first.group, `${absenceText(trace, first, culprits, call)}; ${tail}`),
    culprits,
    waiting,
    waitedMs,
  );
}

/** Collectives that ranks have not come to tell most. */
function rankOfCause({ because }: Blocked): number {
  return ["absent", "message", "inside"].indexOf(because);
}

/** Why the culprits are not in a call. */
function absenceText(trace: Trace, { group, entry }: Blocked, culprits: readonly number[], call: string): string {
  const silent = culprits.filter((rank) => trace.silent.has(rank));
  if (silent.length > 0) {
    const longest = Math.max(...silent.map((rank) => trace.silent.get(rank) ?? 0));
    return `${ranksText(silent)} ${verb(silent, "has", "have")} not answered for ${timeText(longest)}, and ${verb(silent, "is", "are")} missing in ${call}`;
  }
  const known = culprits.filter((rank) => group.members.has(rank));
  if (known.length === 0) {
    const isThere = trace.dumps.some(({ rank }) => culprits.includes(rank));
    return `${ranksText(culprits)} ${isThere ? "never came to the group" : "left no dump"}, and ${verb(culprits, "is", "are")} missing in ${call}`;
  }
  const [one] = known;
  const reasons = known.length === 1 && one !== undefined ? reasonOf(group.members.get(one), entry.sequence) : "";
  return `${ranksText(known)} never entered ${call}${reasons}`;
}

/** The last thing that an absent rank did in the group. */
function reasonOf(member: Member | undefined, sequence: number): string {
  if (!member) return "";
  const { group, dump, last, collectives } = member;
  const refusal = group.lastRefusal;
  const end = collectives.get(last);
  if (refusal && refusal.atMs >= (end?.scheduledMs ?? 0)) {
    return ` (its ${refusal.collective} was refused: ${refusal.error.message})`;
  }
  if (group.left) return " (it left the group before)";
  if (last === 0) return " (it made no call in the group)";
  if (end && !end.retired) return ` (it is in ${callText(end, group.globalRanks)} still)`;
  const ago = end ? `, ${timeText(dump.takenMs - (end.completedMs ?? end.scheduledMs))} before its dump` : "";
  return last === sequence - 1 && end ? ` (it ended ${callText(end, group.globalRanks)}${ago})` : "";
}

/** What became of the message that a call waits for. */
function messageText(trace: Trace, { group, entry, member, waitsFor }: Blocked): string {
  const silent = waitsFor.filter((rank) => trace.silent.has(rank));
  if (silent.length > 0) return `${ranksText(silent)} ${verb(silent, "does", "do")} not answer`;
  const known = waitsFor.filter((rank) => group.members.has(rank));
  if (known.length === 0) return `${ranksText(waitsFor)} left no dump`;
  const own = group.globalRanks.indexOf(member.rank);
  const wanted = entry.collective === "send" ? ["recv", "recvAnySource"] : ["send"];
  const partners = known.flatMap((rank) =>
    group.members
      .get(rank)!
      .messages.filter(
        ({ collective, peer, tag }) =>
          wanted.includes(collective) && (peer === null || peer === own) && tag === entry.tag,
      ),
  );
  const done = entry.collective === "send" ? "received" : "sent";
  if (partners.length === 0) return `${ranksText(known)} ${verb(known, "has", "have")} ${done} nothing with this tag`;
  return `${ranksText(known)} ${verb(known, "has", "have")} ${done} only ${partners.length} before`;
}

function deadlockVerdict(trace: Trace, causes: readonly Blocked[]): Verdict {
  const waiting = [...new Set(causes.map(({ member }) => member.rank))];
  const told = waiting.map((rank) => {
    const cause = causes.find(({ member }) => member.rank === rank)!;
    const call = callText(cause.entry, cause.group.globalRanks);
    const where = trace.groups.length > 1 ? ` of group "${cause.group.name}"` : "";
    const whom = cause.because === "message" && cause.entry.peer !== null ? "" : ` for ${ranksText(cause.waitsFor)}`;
    return `rank ${rank} in ${call}${where}${whom}`;
  });
  const waitedMs = Math.max(...causes.map(waitOf));
  const sentence = `${ranksText(waiting)} wait for each other since ${timeText(waitedMs)}: ${told.join(", ")}`;
  return verdict("deadlock", sentence, waiting, waiting, waitedMs);
}

/** All calls have ended, and some ranks made fewer than others. */
function stoppedVerdict(trace: Trace): Verdict | null {
  for (const group of trace.groups) {
    const members = [...group.members.values()];
    const most = Math.max(0, ...members.map(({ last }) => last));
    const behind = members.filter(({ last }) => last < most);
    const [first] = behind;
    if (!first) continue;
    const least = Math.min(...behind.map(({ last }) => last));
    const stopped = behind.filter(({ last }) => last === least).map(({ rank }) => rank);
    const end = members.find(({ last }) => last === most)?.collectives.get(most);
    const own = behind.find(({ last }) => last === least)?.collectives.get(least);
    const until = own
      ? `after ${callText(own, group.globalRanks)}`
      : least > 0
        ? `after call #${least}`
        : "before any call";
    const others = members.filter(({ last }) => last === most).map(({ rank }) => rank);
    const reached = end ? callText(end, group.globalRanks) : `call #${most}`;
    const sentence = `${ranksText(stopped)} stopped ${until}; ${ranksText(others)} went on to ${reached}, and nobody waits`;
    return verdict("stopped", inGroup(trace, group, sentence), stopped, [], 0);
  }
  return null;
}

function deadVerdict(trace: Trace): Verdict | null {
  for (const group of trace.groups) {
    for (const { group: own } of group.members.values()) {
      if (!own.dead || own.left) continue;
      const culprits = own.dead.ranks.flatMap((rank) => group.globalRanks[rank] ?? []);
      return verdict("dead", `group "${group.name}" is dead: ${own.dead.message}`, culprits, [], 0);
    }
  }
  return null;
}

/** Nobody waits for anybody who is not on the way. */
function quietVerdict({ missing, dumps, groups }: Trace, blocked: readonly Blocked[]): Verdict {
  const calls = dumps.reduce((sum, { recorded }) => sum + recorded, 0);
  const [one] = blocked;
  const state = one
    ? `${callText(one.entry, one.group.globalRanks)} runs on all its ranks, and none is missing`
    : `all ${calls} calls of ${ranksText(dumps.map(({ rank }) => rank))} in ${groups.length} group${groups.length === 1 ? "" : "s"} have ended`;
  if (missing.length > 0) {
    const sentence = `there is no dump of ${ranksText(missing)}; of the others, ${state}`;
    return verdict("missing-dump", sentence, missing, [], 0);
  }
  return verdict("healthy", `healthy: ${state}`, [], [], 0);
}

const waitOf = ({ entry, member }: Blocked) => lastedMs(entry, member.dump.takenMs);

/** Has the call ended, with the death of its group? */
const isOver = ({ entry }: Blocked) => entry.retired;

/** The sentence, with the group's name if the job has several. */
function inGroup({ groups }: Trace, { name }: MergedGroup, sentence: string): string {
  return groups.length > 1 ? `group "${name}": ${sentence}` : sentence;
}

function verdict(
  kind: VerdictKind,
  sentence: string,
  culprits: readonly number[],
  waiting: readonly number[],
  waitedMs: number,
): Verdict {
  return { kind, sentence, culprits, waiting, waitedMs };
}
