/** Object collectives: values as MessagePack, each call one request. */
import type { ObjectRequest } from "./backend/backend.ts";
import type { Launch } from "./launcher.ts";
import { decodeControl, encodeControl } from "./transport/control.ts";

/**
 * A value's bytes.
 * @throws TypeError if MessagePack cannot hold it.
 */
export function encodeObject(value: unknown): Uint8Array {
  return encodeControl(value);
}

/** The value that {@link encodeObject} was given, on another rank. */
export function decodeObject<T>(bytes: Uint8Array | null | undefined): T {
  return decodeControl(bytes!) as T;
}

/** A launch that exchanges byte strings; `value` makes the Work's value of what was received. */
export function objectCall<T>(
  collective: ObjectRequest["collective"],
  outgoing: readonly (Uint8Array | null)[],
  sources: readonly number[],
  root: number | null,
  value: (received: readonly (Uint8Array | null)[]) => T,
): Launch<T> {
  const received = new Array<Uint8Array | null>(outgoing.length).fill(null);
  return { request: { collective, outgoing, sources, received, root }, value: () => value(received) };
}
