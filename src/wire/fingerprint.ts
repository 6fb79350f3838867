/** Fingerprints, by which ranks tell each other of their calls: what stands in some fields, and how two are compared. */
import type { Fingerprint } from "./frame.ts";

/** Calls that are made of several collectives, as errors name them; the index is the code on the wire. */
export const COMPOSED_CALLS = [
  "nn",
  "Reducer",
  "ShardedOptimizer",
  "DiLoCo",
  "comm hook",
  "broadcastCoalesced",
  "checkpoint",
  "verifyParamsAcrossProcesses",
  "ort",
  "tfjs",
] as const;

export type ComposedCall = (typeof COMPOSED_CALLS)[number];

/** The least value that the field `persistent` has in a part of a composed call. */
export const COMPOSED = 2 ** 52;

/** The field `persistent` of a collective that is a part of a composed call of this kind. */
export function composedMark(call: ComposedCall): number {
  return COMPOSED + COMPOSED_CALLS.indexOf(call);
}

/** Whose backend a call is for, where a group has several, as errors name it; the index, from 1, is the field `customOp`. */
export const BACKENDS = ["cpu", "webgpu", "cuda", null] as const;

/** The field `customOp` of a call without an operation that is for the backend of a device, or the default one for null. */
export function forBackend(device: (typeof BACKENDS)[number]): number {
  return BACKENDS.indexOf(device) + 1;
}

/** Are the two calls the same? */
export function isSameCall(a: Fingerprint, b: Fingerprint): boolean {
  return (
    a.refused === b.refused &&
    a.persistent === b.persistent &&
    a.collective === b.collective &&
    a.dtype === b.dtype &&
    a.op === b.op &&
    a.customOp === b.customOp &&
    a.root === b.root &&
    a.count === b.count &&
    a.detail === b.detail &&
    a.algorithm === b.algorithm &&
    a.segmentBytes === b.segmentBytes &&
    a.ahead === b.ahead
  );
}

/**
 * A 52-bit hash of a text (two rounds of 32-bit FNV-1a with different bases), for group ids and fingerprints.
 * (Fowler, Noll, Vo: draft-eastlake-fnv.) It stands on the path of every call: 20 to 60 ns for a short text, where SHA-256
 * took 1,800 ns in JavaScript and 26,000 ns, and a promise, by `crypto.subtle`.
 */
export function hash52(text: string): number {
  return (fnv1a(text, 0x811c9dc5) % 0x100000) * 0x1_0000_0000 + fnv1a(text, 0x01234567);
}

/** A 32-bit FNV-1a hash of a text's UTF-16 code units. */
export function hash32(text: string): number {
  return fnv1a(text, 0x811c9dc5);
}

function fnv1a(text: string, basis: number): number {
  let hash = basis;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    hash = Math.imul(hash ^ (unit & 0xff), 0x01000193);
    hash = Math.imul(hash ^ (unit >>> 8), 0x01000193);
  }
  return hash >>> 0;
}
