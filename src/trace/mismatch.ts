/** Mismatch: do the ranks' calls of one number differ, and in which field? */
import type { TraceEntry } from "../group/trace/dump.ts";
import type { MergedGroup } from "./merge.ts";
import { callText, ranksText } from "./words.ts";

/** Two kinds of call that stand at one number of a group. */
export interface Mismatch {
  readonly group: MergedGroup;
  readonly sequence: number;
  readonly field: string;
  /** The ranks whose calls differ from those of most. */
  readonly ranks: readonly number[];
  readonly sentence: string;
}

/** Calls whose tensors have one size on every rank, and the side that tells it. */
const SIZED: Readonly<Record<string, (entry: TraceEntry) => number>> = {
  ...Object.fromEntries(
    ["broadcast", "allReduce", "reduce", "scan", "exscan", "allReduceCoalesced", "broadcastCoalesced"].map((name) => [
      name,
      ({ read, written }: TraceEntry) => Math.max(read.count, written.count),
    ]),
  ),
  ...Object.fromEntries(
    ["allGather", "allGatherIntoTensor", "allGatherIntoTensorCoalesced"].map((name) => [
      name,
      ({ written }: TraceEntry) => written.count,
    ]),
  ),
  ...Object.fromEntries(
    ["reduceScatter", "reduceScatterTensor", "reduceScatterTensorCoalesced"].map((name) => [
      name,
      ({ read }: TraceEntry) => read.count,
    ]),
  ),
};

/** The facts that are equal on all ranks of one call, the most telling one first. */
const FACTS: readonly (readonly [field: string, of: (entry: TraceEntry) => string])[] = [
  ["collective", ({ collective }) => collective],
  ["kind of call", ({ persistent }) => persistent ?? "single"],
  // The making of a persistent call touches no tensor.
  ["dtype", ({ dtypes }) => dtypes.join(" and ")],
  ["count", (entry) => String(SIZED[entry.collective]?.(entry) ?? "")],
  ["op", ({ op }) => op ?? ""],
  ["root", ({ root }) => String(root ?? "")],
];

/** The mismatch at call `sequence` of `group`, or null. */
export function mismatchAt(group: MergedGroup, sequence: number): Mismatch | null {
  const entries = [...group.members.values()].flatMap(({ rank, collectives }) => {
    const entry = collectives.get(sequence);
    return entry ? [{ rank, entry }] : [];
  });
  for (const [field, of] of FACTS) {
    const byFact = new Map<string, number[]>();
    for (const { rank, entry } of entries) byFact.set(of(entry), [...(byFact.get(of(entry)) ?? []), rank]);
    if (byFact.size < 2 || (field === "dtype" && byFact.has("") && byFact.size === 2)) continue;
    const sides = [...byFact.values()].sort((a, b) => b.length - a.length);
    const told = sides.map((ranks) => `${ranksText(ranks)} called ${sideOf(entries, ranks[0]!, group)}`).join(", ");
    return {
      ...{ group, sequence, field, ranks: sides.slice(1).flat() },
      sentence: `call #${sequence} differs between ranks (${field}): ${told}`,
    };
  }
  return null;
}

function sideOf(entries: readonly { rank: number; entry: TraceEntry }[], rank: number, group: MergedGroup): string {
  const entry = entries.find((one) => one.rank === rank)!.entry;
  const { dtypes, op, root } = entry;
  const count = SIZED[entry.collective]?.(entry);
  const size = dtypes.length > 0 ? ` of ${count === undefined ? "" : `${count} `}${dtypes.join(" and ")}` : "";
  const how = [...(op ? [op] : []), ...(root === null ? [] : [`root ${group.globalRanks[root] ?? root}`])].join(", ");
  return `${callText(entry, group.globalRanks)}${size}${how ? ` (${how})` : ""}`;
}
