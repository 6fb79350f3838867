/** The traffic of several backends of one group, added up. */
import type { Backend, BackendTraffic } from "../backend.ts";

/** Undefined if none of them counts any. They share their links, and so the bytes in flight. */
export function trafficOf(backends: readonly Backend[]): BackendTraffic | undefined {
  const all = backends.flatMap(({ traffic }) => traffic ?? []);
  const [first] = all;
  if (!first) return undefined;
  const counts = first.counts.map((_, index) => all.reduce((sum, traffic) => sum + (traffic.counts[index] ?? 0), 0));
  return { counts, inFlight: (rank) => first.inFlight(rank) };
}
