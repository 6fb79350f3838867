/** Words of a verdict: ranks, calls and times as people say them. */
import type { TraceEntry } from "../group/trace/dump.ts";

/** "rank 2", "ranks 0, 1, 3". */
export function ranksText(ranks: Iterable<number>): string {
  const sorted = [...ranks].sort((a, b) => a - b);
  return `rank${sorted.length === 1 ? "" : "s"} ${sorted.join(", ")}`;
}

/** `one` for one rank, `many` for several. */
export function verb(ranks: readonly number[], one: string, many: string): string {
  return ranks.length === 1 ? one : many;
}

/** "allReduce #41", "recv #3 from rank 1 (tag 2)". */
export function callText(entry: TraceEntry, globalRanks: readonly number[]): string {
  const { collective, sequence, isPointToPoint, peer, tag, persistent } = entry;
  const start = persistent === "start" ? "start of " : persistent === "making" ? "making of " : "";
  const name = `${start}${collective} #${sequence}`;
  if (!isPointToPoint) return name;
  const way = peer === null ? "" : ` ${collective === "send" ? "to" : "from"} rank ${globalRanks[peer]}`;
  return `${name}${way}${tag ? ` (tag ${tag})` : ""}`;
}

/** "3.2 s", "140 ms". */
export function timeText(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  return ms < 100_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`;
}

/** How long a call has run, or ran: milliseconds up to its end, or to the dump. */
export function lastedMs(entry: TraceEntry, takenMs: number): number {
  return (entry.completedMs ?? takenMs) - entry.scheduledMs;
}
