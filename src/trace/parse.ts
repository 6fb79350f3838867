/** Parse: a dump that comes from a file or from another process is checked before anything is read from it. */
import type { TraceDump } from "../group/trace/dump.ts";
import { COLLECTIVES } from "../types.ts";

/** Tells whether a value is of a kind. */
type Check = (value: unknown) => boolean;

const text: Check = (value) => typeof value === "string";
const flag: Check = (value) => typeof value === "boolean";
/** Milliseconds since 1970 stay below this for 30,000 years. */
const number: Check = (value) => typeof value === "number" && Math.abs(value) < 1e15;
/** A number of ranks, or a rank. */
const rank: Check = (value) => Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 20;
const whole: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const oneOf =
  (...values: readonly unknown[]): Check =>
  (value) =>
    values.includes(value);
const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);
const orNull =
  (check: Check): Check =>
  (value) =>
    value === null || check(value);
const list =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check);
const record =
  (fields: Readonly<Record<string, Check>>): Check =>
  (value) =>
    typeof value === "object" &&
    value !== null &&
    Object.entries(fields).every(([name, check]) => check((value as Record<string, unknown>)[name]));

const error = record({ code: text, message: text, ranks: list(rank) });
const peer = record({ rank, receivedBytes: number, waitedMs: number, inFlightBytes: number });
const tensors = record({ tensors: whole, count: whole, bytes: whole });

const GROUP = {
  ...{ name: text, description: text, rank, globalRanks: list(rank), timeoutMs: orNull(number) },
  ...{ epoch: whole, lastSequence: whole },
  ...{ dead: orNull(error), left: flag, stats: record({ runningBytes: number, peers: list(peer) }) },
  lastRefusal: orNull(record({ collective: text, atMs: number, error })),
};

const ENTRY = {
  ...{ record: whole, group: whole, collective: oneOf(...COLLECTIVES), isPointToPoint: flag, sequence: whole },
  ...{ persistent: oneOf("making", "start", null), state: oneOf("scheduled", "started", "completed"), retired: flag },
  ...{ error: orNull(error), scheduledMs: number, startedMs: orNull(number), completedMs: orNull(number) },
  ...{ timeoutMs: orNull(number), read: tensors, written: tensors, dtypes: list(text), op: orNull(text) },
  ...{
    root: orNull(rank),
    peer: orNull(rank),
    tag: orNull(whole),
    waitingFor: list(rank),
    frames: optional(list(text)),
  },
};

const DUMP = {
  ...{ rank, size: rank, runtime: text, clockZero: number, takenMs: number, recorded: whole },
};

/**
 * `value` as a dump, checked.
 * @throws TypeError that names the field that is wrong; `where` names the file.
 */
export function parseDump(value: unknown, where = "the dump"): TraceDump {
  const dump = value as TraceDump;
  if (!record({})(value) || dump.format !== "webccl-trace") {
    throw new TypeError(`${where} is no trace of webccl: pass the JSON of group.dumpTrace()`);
  }
  if (dump.version !== 1) {
    throw new TypeError(`${where} has version ${String(dump.version)} of the format, and this webccl reads version 1`);
  }
  checkFields(where, dump, DUMP);
  checkList(where, "groups", dump.groups, GROUP);
  checkList(where, "entries", dump.entries, ENTRY);
  for (const { globalRanks, rank } of dump.groups) {
    if (new Set(globalRanks).size < globalRanks.length) throw new TypeError(`${where}: a group has a rank twice`);
    if (globalRanks[rank] !== dump.rank)
      throw new TypeError(`${where}: a group has rank ${dump.rank} at another place`);
  }
  for (const { group, peer } of dump.entries) {
    const size = dump.groups[group]?.globalRanks.length;
    if (size === undefined || (peer ?? 0) >= size) throw new TypeError(`${where}: a call is of no group or peer`);
  }
  return dump;
}

function checkList(where: string, name: string, values: unknown, fields: Readonly<Record<string, Check>>): void {
  if (!Array.isArray(values)) throw new TypeError(`${where}: ${name} is no list`);
  for (const [index, value] of values.entries()) checkFields(`${where}: ${name}[${index}]`, value, fields);
}

function checkFields(where: string, value: unknown, fields: Readonly<Record<string, Check>>): void {
  for (const [name, check] of Object.entries(fields)) {
    if (!check((value as Record<string, unknown> | null)?.[name]))
      throw new TypeError(`${where}: ${name} is missing or wrong`);
  }
}
