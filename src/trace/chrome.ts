/**
 * Chrome trace: the calls of all ranks on one time line, in the JSON that Perfetto and chrome://tracing read. A rank is a
 * process there, and a group a thread.
 *
 * The clocks of machines differ. A collective that needs something of every rank ends on all of them within the time of a
 * message, so the medians of the differences of such ends tell how far two clocks are apart.
 */
import type { TraceEntry } from "../group/trace/dump.ts";
import type { Collective } from "../types.ts";
import type { Member, Trace } from "./merge.ts";
import { callText } from "./words.ts";

/** Collectives that end on no rank before all have come. */
const TOGETHER: ReadonlySet<Collective> = new Set<Collective>([
  ...(["allReduce", "allGather", "allGatherIntoTensor", "allToAll", "allToAllSingle", "barrier"] as const),
  ...(["reduceScatter", "reduceScatterTensor", "allGatherObject", "allReduceCoalesced"] as const),
]);

/** One event of a Chrome trace. Times are microseconds. */
export interface ChromeEvent {
  /** The text of the bar: the call, with its number. */
  readonly name: string;
  /** "X" has a duration, "M" names a process or a thread. */
  readonly ph: "X" | "M";
  /** The rank. */
  readonly pid: number;
  /** The group. */
  readonly tid: number;
  /** When it began, in microseconds. */
  readonly ts?: number;
  /** How long it took, in microseconds. */
  readonly dur?: number;
  /** The kind of call. */
  readonly cat?: string;
  /** What is shown of the call when it is selected. */
  readonly args: Readonly<Record<string, unknown>>;
}

/** What Perfetto opens. */
export interface ChromeTrace {
  /** The unit in which times are shown. */
  readonly displayTimeUnit: "ms";
  /** All bars. */
  readonly traceEvents: readonly ChromeEvent[];
}

/** The calls of a trace, with the clocks of all ranks aligned to that of the first. */
export function toChromeTrace(trace: Trace): ChromeTrace {
  const offsets = clockOffsets(trace);
  const wall = (rank: number, zero: number, ms: number) => zero + ms - (offsets.get(rank) ?? 0);
  const starts = trace.dumps.flatMap(({ rank, clockZero, entries }) =>
    entries.map(({ scheduledMs }) => wall(rank, clockZero, scheduledMs)),
  );
  const first = starts.reduce((least, time) => Math.min(least, time), Number.POSITIVE_INFINITY);
  const events: ChromeEvent[] = [];
  for (const { rank, runtime, groups, clockZero, takenMs, entries } of trace.dumps) {
    events.push({ name: "process_name", ph: "M", pid: rank, tid: 0, args: { name: `rank ${rank} (${runtime})` } });
    for (const [tid, { name }] of groups.entries()) {
      events.push({ name: "thread_name", ph: "M", pid: rank, tid, args: { name: `group ${name}` } });
    }
    for (const entry of entries) {
      const begin = wall(rank, clockZero, entry.startedMs ?? entry.scheduledMs);
      const end = entry.completedMs ?? (entry.retired ? (entry.startedMs ?? entry.scheduledMs) : takenMs);
      events.push({
        name: callText(entry, groups[entry.group]?.globalRanks ?? []),
        ph: "X",
        pid: rank,
        tid: entry.group,
        ts: (begin - first) * 1000,
        dur: Math.max(0, wall(rank, clockZero, end) - begin) * 1000,
        cat: entry.isPointToPoint ? "message" : "collective",
        args: argsOf(entry),
      });
    }
  }
  return { displayTimeUnit: "ms", traceEvents: events };
}

function argsOf({ state, error, read, written, dtypes, op, root, timeoutMs, startedMs, scheduledMs }: TraceEntry) {
  const waitedMs = startedMs === null ? null : startedMs - scheduledMs;
  return {
    state,
    error: error?.message ?? null,
    bytes: Math.max(read.bytes, written.bytes),
    dtypes,
    op,
    root,
    timeoutMs,
    waitedMs,
  };
}

/** How far each rank's wall clock is ahead of the first one's, in milliseconds, as the ends of common collectives tell; 0 where there are none. */
export function clockOffsets(trace: Trace): Map<number, number> {
  const offsets = new Map<number, number>();
  for (const { rank } of trace.dumps) {
    if (offsets.has(rank)) continue;
    offsets.set(rank, 0);
    // From rank to rank, over groups that both are in.
    const queue = [rank];
    for (let known = queue.shift(); known !== undefined; known = queue.shift()) {
      for (const other of trace.dumps) {
        if (offsets.has(other.rank)) continue;
        const ahead = aheadBy(trace, known, other.rank);
        if (ahead === null) continue;
        offsets.set(other.rank, (offsets.get(known) ?? 0) + ahead);
        queue.push(other.rank);
      }
    }
  }
  return offsets;
}

function aheadBy(trace: Trace, known: number, other: number): number | null {
  const differences = trace.groups.flatMap(({ members }) => {
    const [a, b] = [members.get(known), members.get(other)];
    return a && b ? differencesOf(a, b) : [];
  });
  if (differences.length === 0) return null;
  return differences.sort((a, b) => a - b)[differences.length >> 1] ?? null;
}

function differencesOf(a: Member, b: Member): number[] {
  return [...a.collectives].flatMap(([sequence, { collective, completedMs, error }]) => {
    const theirs = b.collectives.get(sequence);
    if (!TOGETHER.has(collective) || error || theirs?.error) return [];
    if (completedMs === null || theirs?.completedMs == null || theirs.collective !== collective) return [];
    return [b.dump.clockZero + theirs.completedMs - (a.dump.clockZero + completedMs)];
  });
}
