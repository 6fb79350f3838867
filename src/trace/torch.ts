/**
 * Torch: a trace as the dumps of PyTorch's flight recorder, which its analyser (`torchfrtrace`, format 2.10) reads: one pickle
 * for each rank.
 *
 * The analyser expects each call of a group on all its ranks, and knows no call that c10d lacks. So a message is a call of a
 * group of its two ranks, which is named after them; and calls that c10d lacks (scan, exscan), those of objects, and those whose
 * ranks have lists of different lengths are "coalesced", whose sizes it does not compare. A recvAnySource has no known
 * sender, and is left out.
 */
import type { TraceEntry } from "../group/trace/dump.ts";
import type { Collective } from "../types.ts";
import type { Member, MergedGroup, Trace } from "./merge.ts";
import { mismatchAt } from "./mismatch.ts";
import { type Picklable, pickle, Tuple } from "./pickle.ts";

const NAMES: Partial<Record<Collective, string>> = {
  broadcast: "broadcast",
  allReduce: "all_reduce",
  reduce: "reduce",
  allGather: "all_gather",
  allGatherIntoTensor: "_all_gather_base",
  gather: "gather",
  scatter: "scatter",
  reduceScatter: "reduce_scatter",
  reduceScatterTensor: "_reduce_scatter_base",
  allToAll: "all_to_all",
  allToAllSingle: "all_to_all_single",
  barrier: "barrier",
  newGroup: "split",
  split: "split",
  allReduceCoalesced: "allreduce_coalesced",
  broadcastCoalesced: "broadcast",
  allGatherIntoTensorCoalesced: "all_gather_into_tensor_coalesced",
  reduceScatterTensorCoalesced: "reduce_scatter_tensor_coalesced",
};

/** Calls in place: what is read is what is written. */
const IN_PLACE: ReadonlySet<Collective> = new Set<Collective>([
  "broadcast",
  "allReduce",
  "reduce",
  "allReduceCoalesced",
  "broadcastCoalesced",
]);

const DTYPES: Readonly<Record<string, string>> = {
  ...{ i8: "Char", u8: "Byte", i16: "Short", u16: "UInt16", i32: "Int", u32: "UInt32", i64: "Long", u64: "UInt64" },
  ...{ f8e4m3: "Float8_e4m3fn", f8e5m2: "Float8_e5m2", f16: "Half", bf16: "BFloat16", f32: "Float", f64: "Double" },
};

/** The pickle of each rank that left a dump: write it to a file whose name is a prefix and the rank. */
export function toTorchPickles(trace: Trace): Map<number, Uint8Array> {
  return new Map(trace.dumps.map(({ rank }) => [rank, pickle(dumpOf(trace, rank))]));
}

type Fields = { [key: string]: Picklable };

function dumpOf(trace: Trace, rank: number): Fields {
  // A group may have any name, "__proto__" too.
  const groups = Object.create(null) as Fields;
  const entries: { at: number; fields: Fields }[] = [];
  for (const group of trace.groups) {
    const member = group.members.get(rank);
    if (!member) continue;
    const label = labelOf(trace, group);
    groups[label] = groupOf(label, group.globalRanks);
    // What some rank has overwritten is compared on none.
    const first = Math.max(...[...group.members.values()].map(({ collectives }) => firstOf(collectives)));
    for (const entry of member.collectives.values()) {
      if (entry.sequence >= first)
        entries.push({ at: entry.record, fields: collectiveOf(group, label, member, entry) });
    }
    const counts = new Map<string, number>();
    for (const entry of member.messages) {
      if (entry.peer === null) continue;
      const message = messageOf(group, label, member, entry, counts);
      groups[message.name] = groupOf(message.name, message.ranks);
      entries.push({ at: entry.record, fields: message.fields });
    }
  }
  entries.sort((a, b) => a.at - b.at);
  return {
    version: "2.10",
    pg_config: groups,
    // The analyser leaves out what is numbered below the first number of any rank.
    entries: entries.map(({ fields }, index) => ({ ...fields, record_id: index })),
  };
}

/** The group's name, and what else tells it from those of the same name: groups of other ranks, or of other epochs. */
function labelOf({ groups }: Trace, group: MergedGroup): string {
  const { name, globalRanks, epoch } = group;
  const isAlone = groups.every((other) => other === group || other.name !== name);
  return isAlone ? name : `${name} (ranks ${globalRanks.join(", ")}; epoch ${epoch})`;
}

function firstOf(collectives: ReadonlyMap<number, TraceEntry>): number {
  const [first = 0] = collectives.keys();
  return first;
}

function groupOf(name: string, ranks: readonly number[]): Fields {
  const sorted = [...ranks].sort((a, b) => a - b);
  return { name, desc: name, ranks: `[${sorted.join(", ")}]` };
}

function collectiveOf(group: MergedGroup, label: string, { dump }: Member, entry: TraceEntry): Fields {
  const { sequence, collective } = entry;
  const name = isUneven(group, sequence) ? undefined : NAMES[collective];
  return {
    ...common(label, entry, dump.clockZero),
    ...{ collective_seq_id: sequence, p2p_seq_id: 0, is_p2p: false, profiling_name: `c10d:${name ?? "coalesced"}` },
    ...(name ? sizesOf(entry) : sizesOf(null)),
  };
}

/** Do the ranks have lists of different lengths, as they may? */
function isUneven(group: MergedGroup, sequence: number): boolean {
  const entries = [...group.members.values()].flatMap(({ collectives }) => collectives.get(sequence) ?? []);
  const isList = entries.every(({ collective }) =>
    ["allGather", "gather", "scatter", "reduceScatter"].includes(collective),
  );
  if (!isList || mismatchAt(group, sequence)) return false;
  const own = (entry: TraceEntry) =>
    entry.collective === "allGather" || entry.collective === "gather" ? entry.read : entry.written;
  return new Set(entries.map((entry) => own(entry).count)).size > 1;
}

/** A message, as a call of the two ranks. */
function messageOf(
  group: MergedGroup,
  label: string,
  { rank, dump }: Member,
  entry: TraceEntry,
  counts: Map<string, number>,
) {
  const peer = group.globalRanks[entry.peer ?? 0] ?? rank;
  const [from, to] = entry.collective === "send" ? [rank, peer] : [peer, rank];
  const name = `${label}: ${from} to ${to}, tag ${entry.tag}`;
  const ranks = [from, to];
  const index = (counts.get(name) ?? 0) + 1;
  counts.set(name, index);
  const place = (one: number) => [...ranks].sort((a, b) => a - b).indexOf(one);
  const way = entry.collective === "send" ? `${place(from)}->${place(to)}` : `${place(to)}<-${place(from)}`;
  const sizes = sizesOf(entry);
  const fields: Fields = {
    ...common(name, entry, dump.clockZero),
    ...{ collective_seq_id: index, p2p_seq_id: index, is_p2p: true },
    profiling_name: `c10d:${entry.collective} ${way}`,
    ...sizes,
  };
  return { name, ranks, fields };
}

function common(name: string, entry: TraceEntry, clockZero: number): Fields {
  const { scheduledMs, startedMs, completedMs, state, retired, timeoutMs, frames = [] } = entry;
  const nanoseconds = (ms: number | null) => (ms === null ? null : BigInt(Math.round((clockZero + ms) * 1000)) * 1000n);
  return {
    process_group: new Tuple(name, name),
    ...{ state, retired, timeout_ms: timeoutMs, pg_id: entry.group, op_id: entry.record },
    time_created_ns: nanoseconds(scheduledMs),
    time_discovered_started_ns: nanoseconds(startedMs),
    time_discovered_completed_ns: nanoseconds(completedMs),
    frames: frames.map(frameOf),
  };
}

/** "name (file:line:column)" or "file:line:column", as V8 has it. */
function frameOf(frame: string): Fields {
  const [, name = "", filename = frame, line = "0"] = /^(?:(.*) \()?(.*?):(\d+):\d+\)?$/.exec(frame) ?? [];
  return { name, filename, line: Number(line) };
}

function sizesOf(entry: TraceEntry | null): Fields {
  if (!entry || entry.dtypes.length === 0) {
    return { input_sizes: [], output_sizes: [], input_dtypes: [], output_dtypes: [] };
  }
  const { read, written, collective } = entry;
  const dtypes = entry.dtypes.map((dtype) => DTYPES[dtype] ?? dtype);
  const both = IN_PLACE.has(collective) ? Math.max(read.count, written.count) : null;
  return {
    input_sizes: [[both ?? read.count]],
    output_sizes: [[both ?? written.count]],
    input_dtypes: dtypes,
    output_dtypes: dtypes,
  };
}
