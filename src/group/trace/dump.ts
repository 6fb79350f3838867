/** Dump: what the flight recorder holds, as plain JSON. Loaded when it is asked for. */
import { WebcclError } from "../../errors.ts";
import { checkOptions, type OptionNames } from "../../option-checks.ts";
import { isMessage, isMessageName } from "../../request.ts";
import { now, wallTimeOf } from "../../support/clock.ts";
import { COLLECTIVES, type Collective, DATA_TYPES, type DataType } from "../../types.ts";
import type { GroupRecord, Recorder, RunningCall } from "./recorder.ts";
import * as ring from "./recorder.ts";
import { type GroupStats, statsOf } from "./stats.ts";

/** Options of `dumpTrace`. */
export interface DumpOptions {
  /** False: the groups alone, without their calls. Default: true. */
  includeCollectives?: boolean;
  /** Stacks of the calls, which are taken while the debug level is DETAIL. Default: true. */
  includeStackTraces?: boolean;
  /** Calls that run now, and none that have ended. Default: false. */
  onlyActive?: boolean;
}

const DUMP_OPTIONS: OptionNames<DumpOptions> = {
  includeCollectives: true,
  includeStackTraces: true,
  onlyActive: true,
};

/** An error, as a trace has it. */
export interface TraceError {
  /** The stable code of a WebcclError, else the error's name. */
  readonly code: string;
  /** The error's message. */
  readonly message: string;
  /** Ranks of the group that a TimeoutError or a PeerLostError names. */
  readonly ranks: readonly number[];
}

/** Tensors of one call that are read, or written. */
export interface TraceTensors {
  /** How many there are. */
  readonly tensors: number;
  /** Elements and bytes of all of them. */
  readonly count: number;
  /** Bytes of all of them. */
  readonly bytes: number;
}

/** One call. Times are milliseconds of the rank's monotonic clock, whose zero is the dump's `clockZero`. */
export interface TraceEntry {
  /** Counts the calls of this rank, those of all groups. */
  readonly record: number;
  /** The index of its group in `groups`. */
  readonly group: number;
  /** The call's name. */
  readonly collective: Collective;
  /** Is it a message between two ranks? */
  readonly isPointToPoint: boolean;
  /** The call's number among the group's collectives, or among this rank's point-to-point calls of it. */
  readonly sequence: number;
  /** It makes a persistent call, or starts one; null for any other call. */
  readonly persistent: "making" | "start" | null;
  /** Made and waiting for earlier calls of this rank; running; settled. */
  readonly state: "scheduled" | "started" | "completed";
  /** Has its Work settled, so that no timeout watches it any more? */
  readonly retired: boolean;
  /** The error with which it rejected, or null. */
  readonly error: TraceError | null;
  /** When the call was made. */
  readonly scheduledMs: number;
  /** Null while it is scheduled. */
  readonly startedMs: number | null;
  /** Null while it runs, and for starts of persistent calls that ended at once, whose end is not timed. */
  readonly completedMs: number | null;
  /** Null: none. */
  readonly timeoutMs: number | null;
  /** The tensors that it reads. */
  readonly read: TraceTensors;
  /** The tensors that it writes. */
  readonly written: TraceTensors;
  /** The types of its tensors, each once. */
  readonly dtypes: readonly DataType[];
  /** Its operation; null for a call that reduces nothing. */
  readonly op: string | null;
  /** Its root; null for a call without one. */
  readonly root: number | null;
  /** The other rank of a message; null for a collective. */
  readonly peer: number | null;
  /** The tag of a message; null for a collective. */
  readonly tag: number | null;
  /** Ranks of the group for which it waits now, as far as this rank knows. */
  readonly waitingFor: readonly number[];
  /** The stack of the call, innermost first. */
  readonly frames?: readonly string[];
}

/** One group of this rank. */
export interface TraceGroup {
  /** The group's name. */
  readonly name: string;
  /** What it is for, as whoever made it said. */
  readonly description: string;
  /** This rank in the group. */
  readonly rank: number;
  /** Its members, as ranks of the job, in the order of the group's ranks. */
  readonly globalRanks: readonly number[];
  /** Milliseconds for each call that names none; null: no timeout. */
  readonly timeoutMs: number | null;
  /** How many groups of all ranks the job had before. */
  readonly epoch: number;
  /** The number of this rank's last collective in it; 0 if it made none. `entries` may have it no more. */
  readonly lastSequence: number;
  /** Why it is dead, or null. */
  readonly dead: TraceError | null;
  /** Has this rank left it? */
  readonly left: boolean;
  /** The last call of this rank that was refused and never began. */
  readonly lastRefusal: { readonly collective: string; readonly atMs: number; readonly error: TraceError } | null;
  /** Its figures since it was made. */
  readonly stats: GroupStats;
}

/** What `group.dumpTrace()` resolves to. */
export interface TraceDump {
  /** Tells such a file from others. */
  readonly format: "webccl-trace";
  /** The version of the format. */
  readonly version: 1;
  /** This rank in the job, and how many ranks that has. */
  readonly rank: number;
  /** How many ranks the job has. */
  readonly size: number;
  /** The runtime and its version, such as "node 20.20.2". */
  readonly runtime: string;
  /** When the monotonic clock was 0, in milliseconds since 1970, by this machine's clock. */
  readonly clockZero: number;
  /** When the dump was made, on the monotonic clock. */
  readonly takenMs: number;
  /** Calls that were recorded; the last 2,048 of them are kept. */
  readonly recorded: number;
  /** The groups of this rank, those that it left among them. */
  readonly groups: readonly TraceGroup[];
  /** The calls that are kept, in the order in which they were made. */
  readonly entries: readonly TraceEntry[];
}

/**
 * The dump of one rank's recorder.
 * @throws TypeError for an unknown option.
 */
export function dumpOf(recorder: Recorder, options: DumpOptions = {}): TraceDump {
  checkOptions("dumpTrace", DUMP_OPTIONS, options);
  const { includeCollectives = true, includeStackTraces = true, onlyActive = false } = options;
  const groups = [...recorder.groups.values()];
  const places = new Map(groups.map(({ index }, place) => [index, place]));
  const entries: TraceEntry[] = [];
  const first = Math.max(0, recorder.count - ring.CAPACITY);
  for (let record = first; includeCollectives && record < recorder.count; record++) {
    const entry = entryOf(recorder, places, record, includeStackTraces);
    if (!entry.retired || !onlyActive) entries.push(entry);
  }
  const { rank, size, version } = recorder.options;
  return {
    format: "webccl-trace",
    version: 1,
    rank,
    size,
    runtime: version,
    clockZero: wallTimeOf(0),
    takenMs: now(),
    recorded: recorder.count,
    groups: groups.map(groupOf),
    entries,
  };
}

function groupOf(record: GroupRecord): TraceGroup {
  const { name, description, rank, globalRanks, timeoutMs, epoch } = record.group;
  const { dead, closed, lastRefusal, lastSequence } = record;
  return {
    name,
    description,
    rank,
    globalRanks,
    timeoutMs: finite(timeoutMs === 0 ? Number.POSITIVE_INFINITY : timeoutMs),
    ...{ epoch, lastSequence },
    dead: dead && errorOf(dead),
    left: closed,
    lastRefusal: lastRefusal && {
      collective: lastRefusal.collective,
      atMs: lastRefusal.at,
      error: errorOf(lastRefusal.error),
    },
    stats: statsOf(record),
  };
}

function entryOf(
  recorder: Recorder,
  places: ReadonlyMap<number, number>,
  record: number,
  withStack: boolean,
): TraceEntry {
  const slot = record % ring.CAPACITY;
  const line = recorder.lines.subarray(slot * ring.FIELDS, (slot + 1) * ring.FIELDS);
  const field = (index: number) => line[index] as number;
  const tensors = (at: number) => ({ tensors: field(at), count: field(at + 1), bytes: field(at + 2) });
  const collective = COLLECTIVES[field(ring.COLLECTIVE)] as Collective;
  const isPointToPoint = isMessageName(collective);
  const own = recorder.groups.get(field(ring.GROUP));
  const running = own?.running.get(record);
  const flags = field(ring.FLAGS);
  const retired = (flags & ring.IS_OVER) !== 0;
  const startedMs = finite(running ? running.call.began : field(ring.BEGUN));
  const other = field(ring.ROOT) < 0 ? null : field(ring.ROOT);
  const op = recorder.ops[slot];
  const { error, stack, tag = 0 } = recorder.notes[slot] ?? {};
  return {
    ...{ record, collective, isPointToPoint, retired, startedMs },
    group: places.get(field(ring.GROUP)) ?? 0,
    sequence: field(ring.SEQUENCE),
    persistent: flags & ring.IS_MAKING ? "making" : flags & ring.IS_START ? "start" : null,
    state: retired ? "completed" : startedMs === null ? "scheduled" : "started",
    error: error ? errorOf(error) : null,
    scheduledMs: field(ring.MADE),
    completedMs: finite(field(ring.ENDED)),
    timeoutMs: finite(field(ring.LIMIT_MS)),
    read: tensors(ring.READ),
    written: tensors(ring.WRITTEN),
    dtypes: DATA_TYPES.filter((_, bit) => field(ring.DTYPES) & (1 << bit)),
    op: op ? (op.name === "custom" ? `custom ${op.label}` : op.name) : null,
    root: isPointToPoint ? null : other,
    peer: isPointToPoint ? other : null,
    tag: isPointToPoint ? tag : null,
    waitingFor: own && running ? waitingForOf(own, running) : [],
    ...(withStack && stack ? { frames: framesOf(stack) } : {}),
  };
}

function waitingForOf(group: GroupRecord, { call, request }: RunningCall): readonly number[] {
  if (isMessage(request)) return "peer" in request ? [request.peer] : [];
  return group.backend()?.waitingFor?.(call.sequence) ?? [];
}

/** A stack without its first line, which is the error's, and without the frames of the recorder and of the call's funnel. */
function framesOf(stack: string): string[] {
  const lines = stack.split("\n").map((line) => line.trim().replace(/^at /, ""));
  return lines.filter(
    (line, index) => index > 0 && line !== "" && !/\/group\/(trace\/recorder|call-runner)\./.test(line),
  );
}

function errorOf(error: Error): TraceError {
  if (!(error instanceof WebcclError)) return { code: error.name, message: error.message, ranks: [] };
  const { missingRanks = [], peer } = error.details;
  return { code: error.code, message: error.message, ranks: peer === undefined ? missingRanks : [peer] };
}

/** JSON has neither Infinity nor NaN. */
function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
