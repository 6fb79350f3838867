/**
 * Arguments of the calls that exchange values, checked on this rank and made into a prepared call. What each argument must be
 * stands at the method of the same name in process-group.ts; each function here throws TypeError or RangeError for one that
 * is not, and then nothing has happened.
 */
import type { RootOptions } from "../options.ts";
import type { ObjectRequest } from "../request.ts";
import { asError } from "../support/thrown.ts";
import { decodeControl, encodeControl, OBJECT_LIMITS } from "../wire/control.ts";
import { type Caller, checkRootList, rootOf } from "./checks.ts";
import type { ChildSettings } from "./child/child-group.ts";
import type { SplitChoice } from "./child/split-plan.ts";
import type { Membership } from "./job.ts";
import type { PreparedCall } from "./prepared-call.ts";

/** Arguments of `allGatherObject`. */
export function allGatherObject<T>(caller: Caller, value: T): PreparedCall<T[]> {
  const everyone = everyRank(caller);
  return objectCall(
    caller,
    "allGatherObject",
    () => toAll(caller, encodeObject(value, "value")),
    everyone,
    null,
    (received) => everyone.map((rank) => decodeObject<T>(received, rank)),
  );
}

/** Arguments of `broadcastObject`. */
export function broadcastObject<T>(caller: Caller, value: T, options: RootOptions): PreparedCall<T> {
  const root = rootOf(caller, options);
  return objectCall(
    caller,
    "broadcastObject",
    () => toAll(caller, root === caller.rank ? encodeObject(value, "value") : null),
    [root],
    root,
    (received) => decodeObject<T>(received, root),
  );
}

/** Arguments of `gatherObject`. */
export function gatherObject<T>(caller: Caller, value: T, options: RootOptions): PreparedCall<T[] | null> {
  const root = rootOf(caller, options);
  const encode = () => everyRank(caller).map((rank) => (rank === root ? encodeObject(value, "value") : null));
  const sources = root === caller.rank ? everyRank(caller) : [];
  return objectCall(caller, "gatherObject", encode, sources, root, (received) =>
    root === caller.rank ? sources.map((rank) => decodeObject<T>(received, rank)) : null,
  );
}

/** Arguments of `scatterObject`. */
export function scatterObject<T>(caller: Caller, values: readonly T[] | null, options: RootOptions): PreparedCall<T> {
  const root = rootOf(caller, options);
  checkRootList(caller, values, root, "values");
  if (values && values.length !== caller.size) {
    throw new RangeError(`values has ${values.length} entries, and the group has ${caller.size} ranks`);
  }
  const encode = () => everyRank(caller).map((rank) => (values ? encodeObject(values[rank], `values[${rank}]`) : null));
  return objectCall(caller, "scatterObject", encode, [root], root, (received) => decodeObject<T>(received, root));
}

/** Arguments of `split`; the value is the `SplitChoice` of each rank, unchecked. `name` is the one that the caller gave. */
export function split(
  caller: Membership & Caller,
  color: number | null,
  key: number,
  settings: ChildSettings,
  name: string | null,
): PreparedCall<unknown[]> {
  if (color !== null && (!Number.isInteger(color) || color < 0)) {
    throw new RangeError(`split: color must be a whole number or null, got ${color}`);
  }
  if (!Number.isFinite(key)) throw new RangeError(`split: key must be a finite number, got ${key}`);
  const choice: SplitChoice = [color, key, name, settings.kind];
  const everyone = everyRank(caller);
  return objectCall(
    caller,
    "split",
    () => toAll(caller, encodeObject(choice, "value")),
    everyone,
    null,
    (received) => everyone.map((rank) => decodeObject(received, rank)),
  );
}

/**
 * A value's bytes.
 * @throws TypeError that names the field of `name` that cannot be sent: docs/objects.md has the list.
 */
function encodeObject(value: unknown, name: string): Uint8Array {
  return encodeControl(value, OBJECT_LIMITS, name);
}

/** The value that {@link encodeObject} was given on `rank`. */
function decodeObject<T>(received: readonly (Uint8Array | null)[], rank: number): T {
  return decodeControl(received[rank]!, OBJECT_LIMITS, `the value of rank ${rank}`) as T;
}

/**
 * A prepared call that exchanges byte strings. `encode` gives those that this rank sends: if it throws, the values cannot be
 * encoded. `value` makes the Work's value of what was received.
 */
function objectCall<T>(
  { size }: Caller,
  collective: ObjectRequest["collective"],
  encode: () => readonly (Uint8Array | null)[],
  sources: readonly number[],
  root: number | null,
  value: (received: readonly (Uint8Array | null)[]) => T,
): PreparedCall<T> {
  const received = new Array<Uint8Array | null>(size).fill(null);
  const request = (outgoing: ObjectRequest["outgoing"]) => ({ collective, outgoing, sources, received, root });
  const call = { value: () => value(received) };
  try {
    return { ...call, request: request(encode()) };
  } catch (error) {
    return { ...call, request: request([]), obstacle: asError(error) };
  }
}

function toAll(caller: Caller, bytes: Uint8Array | null): (Uint8Array | null)[] {
  return everyRank(caller).map(() => bytes);
}

function everyRank({ size }: Caller): number[] {
  return Array.from({ length: size }, (_, rank) => rank);
}
