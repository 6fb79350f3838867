/** Live state: what the page of `webccl trace --live` shows, made of the last dump of each rank. Ranks are ranks of the job. */
import { mergeDumps, type TraceDump, type TraceEntry, verdictOf } from "../../trace/index.ts";
import { ranksText, timeText } from "../../trace/words.ts";
import type { Seen } from "./watcher.ts";

/** A wait shorter than this is no stall. */
const STALL_MS = 1_000;

/** One rank on the page. */
export interface LiveRank {
  readonly rank: number;
  readonly runtime: string;
  /** Milliseconds since it last answered, if it is silent; else null. */
  readonly silentMs: number | null;
  /** The call in which it is, or the last one that it made. */
  readonly call: string;
  readonly isRunning: boolean;
  readonly sinceMs: number;
  /** Bytes of the tensors of its running calls, and of messages on the way from it. */
  readonly memoryBytes: number;
}

/** `from` waits for `to`. */
export interface LiveWait {
  readonly from: number;
  readonly to: number;
}

/** What `to` receives from `from`. */
export interface LiveLink {
  readonly from: number;
  readonly to: number;
  readonly bytes: number;
  readonly bytesPerSecond: number;
  readonly waitedMs: number;
}

/** What the page gets. */
export interface LiveState {
  /** Null before any rank has answered. */
  readonly sentence: string | null;
  readonly isStalled: boolean;
  readonly culprits: readonly number[];
  readonly size: number;
  readonly ranks: readonly LiveRank[];
  readonly waits: readonly LiveWait[];
  readonly links: readonly LiveLink[];
  readonly trouble: string | null;
}

/** The state of a job whose ranks were last seen so. */
export function liveState(
  seen: ReadonlyMap<number, Seen>,
  silent: ReadonlyMap<number, number>,
  trouble: string | null,
): LiveState {
  if (seen.size === 0) {
    return { sentence: null, isStalled: false, culprits: [], size: 0, ranks: [], waits: [], links: [], trouble };
  }
  const trace = mergeDumps(
    [...seen.values()].map(({ dump }) => dump),
    silent,
  );
  const verdict = verdictOf(trace);
  const isDead = trace.dumps.some(({ groups }) => groups.some(({ dead, left }) => dead !== null && !left));
  const isWrong = !["healthy", "missing-dump", "stopped"].includes(verdict.kind);
  const isStalled = silent.size < seen.size && isWrong && (verdict.waitedMs >= STALL_MS || isDead);
  return {
    sentence: isStalled ? verdict.sentence : quietSentence(seen, silent),
    isStalled,
    culprits: isStalled ? verdict.culprits : [],
    size: trace.size,
    ranks: [...seen.values()].map(({ dump }) => rankOf(dump, silent)).sort((a, b) => a.rank - b.rank),
    waits: waitsOf(trace.dumps, isStalled ? verdict : null),
    links: [...seen.values()]
      .flatMap((one) => linksOf(one, silent.has(one.dump.rank)))
      .sort((a, b) => a.from - b.from || a.to - b.to),
    trouble,
  };
}

function quietSentence(seen: ReadonlyMap<number, Seen>, silent: ReadonlyMap<number, number>): string {
  if (silent.size === 0) return "all ranks go on";
  if (silent.size === seen.size) return "no rank answers any more";
  return `${ranksText(silent.keys())} did not answer for ${timeText(Math.max(...silent.values()))}, and nobody waits there for long`;
}

function rankOf(dump: TraceDump, silent: ReadonlyMap<number, number>): LiveRank {
  const running = dump.entries.filter(({ retired }) => !retired);
  const entry = running[0] ?? dump.entries.at(-1);
  const groups = dump.groups.filter(({ left }) => !left);
  // Groups share links: the bytes on the way are the same in each.
  const inFlight = new Map<number, number>();
  for (const { globalRanks, stats } of groups) {
    for (const peer of stats.peers) inFlight.set(globalRanks[peer.rank] ?? peer.rank, peer.inFlightBytes);
  }
  return {
    rank: dump.rank,
    runtime: dump.runtime,
    silentMs: silent.get(dump.rank) ?? null,
    call: entry ? `${entry.collective} #${entry.sequence}` : "no call yet",
    isRunning: running.length > 0,
    sinceMs: entry ? dump.takenMs - (running[0] ? entry.scheduledMs : endOf(entry)) : 0,
    memoryBytes: [...groups.map(({ stats }) => stats.runningBytes), ...inFlight.values()].reduce(
      (sum, bytes) => sum + bytes,
      0,
    ),
  };
}

const endOf = ({ completedMs, startedMs, scheduledMs }: TraceEntry) => completedMs ?? startedMs ?? scheduledMs;

/** The waits that last, and those of the verdict, which knows of ranks that say nothing. */
function waitsOf(
  dumps: readonly TraceDump[],
  verdict: { waiting: readonly number[]; culprits: readonly number[] } | null,
): LiveWait[] {
  const waits = new Map<string, LiveWait>();
  const add = (from: number, to: number) => {
    if (from !== to) waits.set(`${from} ${to}`, { from, to });
  };
  for (const { rank, entries, groups, takenMs } of dumps) {
    for (const { retired, waitingFor, group, scheduledMs } of entries) {
      if (retired || takenMs - scheduledMs < STALL_MS) continue;
      for (const other of waitingFor) add(rank, groups[group]?.globalRanks[other] ?? other);
    }
  }
  for (const from of verdict?.waiting ?? []) for (const to of verdict?.culprits ?? []) add(from, to);
  return [...waits.values()];
}

/** The links into one rank. Of one that does not answer nobody knows how fast they are now. */
function linksOf({ dump, before }: Seen, isSilent: boolean): LiveLink[] {
  const links = new Map<number, { bytes: number; earlier: number; waitedMs: number }>();
  const take = (
    from: TraceDump,
    add: (link: { bytes: number; earlier: number; waitedMs: number }, bytes: number, waitedMs: number) => void,
  ) => {
    for (const { globalRanks, stats } of from.groups) {
      for (const { rank, receivedBytes, waitedMs } of stats.peers) {
        const peer = globalRanks[rank] ?? rank;
        const link = links.get(peer) ?? { bytes: 0, earlier: 0, waitedMs: 0 };
        links.set(peer, link);
        add(link, receivedBytes, waitedMs);
      }
    }
  };
  take(dump, (link, bytes, waitedMs) => {
    link.bytes += bytes;
    link.waitedMs += waitedMs;
  });
  if (before) {
    take(before, (link, bytes) => {
      link.earlier += bytes;
    });
  }
  const seconds = before && !isSilent ? (dump.takenMs - before.takenMs) / 1000 : 0;
  return [...links].map(([from, { bytes, earlier, waitedMs }]) => ({
    ...{ from, to: dump.rank, bytes, waitedMs },
    bytesPerSecond: seconds > 0 ? Math.max(0, bytes - earlier) / seconds : 0,
  }));
}
