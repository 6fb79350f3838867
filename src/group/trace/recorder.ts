/**
 * Recorder: the flight recorder of a job on one rank. Every call of every group leaves a record, always, so that after a hang
 * each rank can tell which calls it made. `dump.ts` makes a trace of the records; `src/trace/` says what a trace shows.
 *
 * A record is a line of one typed array, which is a ring: the oldest record makes room for the next one. To write it
 * allocates nothing. Its numbers are listed below.
 */
import type { Backend, Call } from "../../backend/backend.ts";
import type { WebcclError } from "../../errors.ts";
import type { ReduceOp } from "../../reduce-op.ts";
import { isMessageName, type Request } from "../../request.ts";
import { now } from "../../support/clock.ts";
import type { TensorView } from "../../tensor/view.ts";
import { COLLECTIVES, type Collective, DATA_TYPES } from "../../types.ts";
import type { PreparedCall } from "../prepared-call.ts";

/** How many calls a job remembers. */
export const CAPACITY = 2048;
/** Numbers of a line. */
export const FIELDS = 16;
/** Numbers of {@link GroupRecord.sums} for each collective: calls, failures, bytes, bytes of timed calls, ms active, ms queued. */
export const SUMS = 6;

// What the numbers of a line are. Times are those of `now()`; tensors are told by how many they are, their elements and their bytes.
export const GROUP = 0;
/** The collective's code. */
export const COLLECTIVE = 1;
export const SEQUENCE = 2;
export const MADE = 3;
/** NaN while it waits for earlier calls. */
export const BEGUN = 4;
/** NaN while it runs, and where the end was not timed. */
export const ENDED = 5;
export const LIMIT_MS = 6;
/** Of the tensors that are read: how many, elements, bytes. Then of those that are written. */
export const READ = 7;
export const WRITTEN = 10;
/** One bit for each dtype. */
export const DTYPES = 13;
/** The root or the peer; -1 for none. */
export const ROOT = 14;
export const FLAGS = 15;

// The bits of a line's flags.
export const IS_OVER = 1;
export const IS_MAKING = 2;
export const IS_START = 4;

const codesOf = (names: readonly string[]) => Object.fromEntries(names.map((name, index) => [name, index]));
const CODES = codesOf(COLLECTIVES) as Record<Collective, number>;
const DTYPE_CODES = codesOf(DATA_TYPES);

const NO_VIEWS: readonly TensorView[] = [];

/** The fields that some requests have. To look for one that a request lacks takes as long as half of its record. */
type Details = { peer?: number; root?: number | null; op?: ReduceOp; tag?: number };

const HAS_ROOT = 1;
const HAS_OP = 2;
const HAS_PEER = 4;

/** Which of them each collective has, by its code. */
const FIELDS_OF: readonly number[] = COLLECTIVES.map(
  (name) =>
    (/^broadcast|^reduce$|^gather|^scatter/.test(name) ? HAS_ROOT : 0) |
    (/^allReduce|^reduce|scan$/.test(name) ? HAS_OP : 0) |
    (isMessageName(name) ? HAS_PEER : 0),
);

/** What a record has beyond numbers. */
interface Note {
  error?: Error;
  tag?: number | undefined;
  /** The stack of the call, if the debug level is DETAIL. */
  stack?: string | undefined;
}

/** A call that never began, for its arguments. */
export interface Refusal {
  readonly collective: string;
  readonly at: number;
  readonly error: Error;
}

/** A group, as its records name it. */
export interface RecordedGroup {
  readonly name: string;
  readonly description: string;
  readonly rank: number;
  readonly globalRanks: readonly number[];
  readonly timeoutMs: number;
  readonly epoch: number;
}

/** A call that runs. */
export interface RunningCall {
  readonly call: Call;
  readonly request: Request;
}

/** The job on this rank, as a trace names it. */
export interface RecorderOptions {
  readonly rank: number;
  readonly size: number;
  /** The runtime and its version. */
  readonly version: string;
  /** Is a stack to be taken of each call? */
  takesStacks(): boolean;
}

/** See the file's head. */
export class Recorder {
  readonly options: RecorderOptions;
  /** The groups of this rank, and those that it has left of whose calls some are remembered. */
  readonly groups: Map<number, GroupRecord> = new Map();
  readonly lines: Float64Array = new Float64Array(CAPACITY * FIELDS);
  readonly ops: (ReduceOp | undefined)[] = new Array(CAPACITY);
  readonly notes: (Note | undefined)[] = new Array(CAPACITY);
  /** How many records were written; the number of the next one. */
  count = 0;
  /** Told when a group dies, before its calls reject. */
  onDeath: ((cause: WebcclError) => void) | null = null;
  #opened = 0;

  constructor(options: RecorderOptions) {
    this.options = options;
  }

  /** The records of a group that is made. */
  open(group: RecordedGroup): GroupRecord {
    for (const [index, { closed, last }] of this.groups) {
      if (closed && this.count - last > CAPACITY) this.groups.delete(index);
    }
    const record = new GroupRecord(this, this.#opened++, group);
    this.groups.set(record.index, record);
    return record;
  }
}

/** The records of one group. */
export class GroupRecord {
  readonly group: RecordedGroup;
  readonly index: number;
  /** What the group's calls add up to, {@link SUMS} numbers for each collective. */
  sums: Float64Array = new Float64Array(COLLECTIVES.length * SUMS);
  /** When the group was made. */
  readonly since: number = now();
  lastRefusal: Refusal | null = null;
  dead: WebcclError | null = null;
  /** Has this rank left the group? */
  closed = false;
  /** The number of its last record. */
  last = 0;
  /** The number of its last collective. */
  lastSequence = 0;
  /** The calls that run, by the numbers of their records. */
  readonly running: Map<number, RunningCall> = new Map();
  /** The group's backend of the moment; the group sets it. */
  backend: () => Backend | null = () => null;
  readonly #recorder: Recorder;

  constructor(recorder: Recorder, index: number, group: RecordedGroup) {
    this.#recorder = recorder;
    this.index = index;
    this.group = group;
  }

  /** A call with a limit of time has begun, and `runs` still; returns the number of its record. */
  begin<T>(prepared: PreparedCall<T>, call: Call, limitMs: number, runs: boolean): number {
    const { request, read, written, persistent } = prepared;
    const { lines, notes, ops, options, count } = this.#recorder;
    this.#recorder.count = count + 1;
    this.last = count;
    const slot = count % CAPACITY;
    const at = slot * FIELDS;
    const code = CODES[request.collective];
    const fields = FIELDS_OF[code] as number;
    const details = request as Details;
    if (!(fields & HAS_PEER)) this.lastSequence = call.sequence;
    const tag = fields & HAS_PEER ? details.tag : 0;
    lines[at] = this.index;
    lines[at + COLLECTIVE] = code;
    lines[at + SEQUENCE] = call.sequence;
    lines[at + MADE] = call.started;
    lines[at + BEGUN] = call.began;
    lines[at + ENDED] = Number.NaN;
    lines[at + LIMIT_MS] = limitMs;
    lines[at + DTYPES] = writeTensors(lines, at + READ, read) | writeTensors(lines, at + WRITTEN, written);
    lines[at + ROOT] = (fields & HAS_PEER ? details.peer : fields & HAS_ROOT ? details.root : null) ?? -1;
    lines[at + FLAGS] = persistent ? (call.persistent === call.sequence ? IS_MAKING : IS_START) : 0;
    ops[slot] = fields & HAS_OP ? details.op : undefined;
    notes[slot] =
      tag || options.takesStacks() ? { tag, stack: options.takesStacks() ? new Error().stack : undefined } : undefined;
    if (runs) this.running.set(count, { call, request });
    return count;
  }

  /** The call of record `id` has ended at a time, or at once if that is NaN; `error` is null if it ended well. */
  end(id: number, { began, started }: Call, ended: number, error: Error | null): void {
    const { lines, notes, count } = this.#recorder;
    this.running.delete(id);
    if (count - id > CAPACITY) return;
    const slot = id % CAPACITY;
    const at = slot * FIELDS;
    const bytes = this.bytesOf(id);
    const { sums } = this;
    const sum = (lines[at + COLLECTIVE] as number) * SUMS;
    lines[at + BEGUN] = began;
    lines[at + ENDED] = ended;
    lines[at + FLAGS] = (lines[at + FLAGS] as number) | IS_OVER;
    add(sums, sum, 1);
    add(sums, sum + 2, bytes);
    // NaN is what no comparison holds for: a call whose end was not timed, or that never began.
    if (ended >= began) {
      add(sums, sum + 3, bytes);
      add(sums, sum + 4, ended - began);
      add(sums, sum + 5, began - started);
    }
    if (!error) return;
    add(sums, sum + 1, 1);
    notes[slot] = { ...notes[slot], error };
  }

  /** Bytes of record `id`: of the larger of what the call reads and what it writes. 0 if the record has made room. */
  bytesOf(id: number): number {
    const { count, lines } = this.#recorder;
    const at = (id % CAPACITY) * FIELDS + 2;
    return count - id > CAPACITY ? 0 : Math.max(lines[at + READ] as number, lines[at + WRITTEN] as number);
  }

  /** A call of this rank was refused: it did not begin here, though it may have elsewhere. */
  refuse(collective: string, error: Error): void {
    this.lastRefusal = { collective, at: now(), error };
  }

  /** The group has died. What this rank ends by leaving is no death. */
  die(cause: WebcclError): void {
    if (this.closed) return;
    this.dead = cause;
    this.#recorder.onDeath?.(cause);
  }

  /** This rank leaves the group. */
  close(): void {
    this.closed = true;
    this.backend = () => null;
  }
}

/** Writes how many tensors, elements and bytes these are; returns their dtypes. */
function writeTensors(lines: Float64Array, at: number, views: readonly TensorView[] = NO_VIEWS): number {
  let count = 0;
  let bytes = 0;
  let dtypes = 0;
  for (const view of views) {
    count += view.count;
    bytes += view.byteLength;
    dtypes |= 1 << (DTYPE_CODES[view.dtype] as number);
  }
  lines[at] = views.length;
  lines[at + 1] = count;
  lines[at + 2] = bytes;
  return dtypes;
}

function add(sums: Float64Array, at: number, value: number): void {
  sums[at] = (sums[at] as number) + value;
}
