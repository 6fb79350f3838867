/**
 * Arguments of the calls that exchange values, checked on this rank and made into a prepared call. What each argument must be
 * stands at the method of the same name in process-group.ts; each function here throws TypeError or RangeError for one that
 * is not, and then nothing has happened.
 */
import { ProtocolError } from "../errors.ts";
import type { RootOptions } from "../options.ts";
import type { ObjectRequest } from "../request.ts";
import { decodeControl, encodeControl, OBJECT_LIMITS } from "../wire/control.ts";
import type { PreparedCall } from "./call-runner.ts";
import { type Caller, checkRootList, rootOf } from "./checks.ts";

/** Arguments of `allGatherObject`. */
export function allGatherObject<T>(caller: Caller, value: T): PreparedCall<T[]> {
  const bytes = encodeObject(value, "value");
  const everyone = everyRank(caller);
  return objectCall(
    "allGatherObject",
    everyone.map(() => bytes),
    everyone,
    null,
    (received) => everyone.map((rank) => decodeObject<T>(received, rank)),
  );
}

/** Arguments of `broadcastObject`. */
export function broadcastObject<T>(caller: Caller, value: T, options: RootOptions): PreparedCall<T> {
  const root = rootOf(caller, options);
  const bytes = root === caller.rank ? encodeObject(value, "value") : null;
  return objectCall(
    "broadcastObject",
    everyRank(caller).map(() => bytes),
    [root],
    root,
    (received) => decodeObject<T>(received, root),
  );
}

/** Arguments of `gatherObject`. */
export function gatherObject<T>(caller: Caller, value: T, options: RootOptions): PreparedCall<T[] | null> {
  const root = rootOf(caller, options);
  const outgoing = everyRank(caller).map((rank) => (rank === root ? encodeObject(value, "value") : null));
  const sources = root === caller.rank ? everyRank(caller) : [];
  return objectCall("gatherObject", outgoing, sources, root, (received) =>
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
  const outgoing = everyRank(caller).map((rank) => (values ? encodeObject(values[rank], `values[${rank}]`) : null));
  return objectCall("scatterObject", outgoing, [root], root, (received) => decodeObject<T>(received, root));
}

/** Arguments of `split`; the value is every rank's color and key. */
export function split(caller: Caller, color: number | null, key: number): PreparedCall<[number | null, number][]> {
  if (color !== null && (!Number.isInteger(color) || color < 0)) {
    throw new RangeError(`split: color must be a whole number or null, got ${color}`);
  }
  const bytes = encodeObject([color, key], "value");
  const everyone = everyRank(caller);
  return objectCall(
    "split",
    everyone.map(() => bytes),
    everyone,
    null,
    (received) => everyone.map((rank) => splitChoice(decodeObject(received, rank), rank)),
  );
}

/** The color and key that `rank` gave. */
function splitChoice(value: unknown, rank: number): [number | null, number] {
  const [color, key] = Array.isArray(value) ? value : [];
  if ((color !== null && typeof color !== "number") || typeof key !== "number") {
    throw new ProtocolError(`the color and key of rank ${rank} are none`);
  }
  return [color, key];
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

/** A prepared call that exchanges byte strings; `value` makes the Work's value of what was received. */
function objectCall<T>(
  collective: ObjectRequest["collective"],
  outgoing: readonly (Uint8Array | null)[],
  sources: readonly number[],
  root: number | null,
  value: (received: readonly (Uint8Array | null)[]) => T,
): PreparedCall<T> {
  const received = new Array<Uint8Array | null>(outgoing.length).fill(null);
  return { request: { collective, outgoing, sources, received, root }, value: () => value(received) };
}

function everyRank({ size }: Caller): number[] {
  return Array.from({ length: size }, (_, rank) => rank);
}
