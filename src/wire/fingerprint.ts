/**
 * Fingerprints, by which ranks tell each other of their calls: how two are compared, and how a difference is put into
 * words.
 */

import { REDUCE_OP_NAMES } from "../reduce-op.ts";
import { COLLECTIVES, DATA_TYPES } from "../types.ts";
import { FINGERPRINT_LABELS, type Fingerprint, IN_F32, NO_CODE, NO_COUNT, NO_ROOT } from "./frame.ts";

/** Calls that are made of several collectives, as errors name them; the index is the code on the wire. */
const COMPOSED_CALLS = [
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
const COMPOSED = 2 ** 52;
/** How many kinds of composed calls there can be. */
const KINDS = 64;

/** The field `persistent` of a collective that is a part of the composed call of this number. */
export function composedMark(call: ComposedCall, number: number): number {
  return COMPOSED + number * KINDS + COMPOSED_CALLS.indexOf(call);
}

const FIELDS = Object.keys(FINGERPRINT_LABELS) as (keyof Fingerprint)[];

/** The first field that differs between two calls, in a user's words, or null. */
export function differingField(a: Fingerprint, b: Fingerprint): string | null {
  const field = FIELDS.find((name) => a[name] !== b[name]);
  if (field === "op" && (a.op ^ b.op) === IN_F32) return "accumulate";
  if (field === "detail" && COLLECTIVES[a.collective] === "newGroup") return "list of ranks, or name";
  if (field === "customOp" && a.op === NO_CODE) return COLLECTIVES[a.collective] === "newGroup" ? "backend" : "device";
  if (field === "detail" && COLLECTIVES[a.collective]?.endsWith("Coalesced")) return "list of dtypes and counts";
  if (field === "persistent" && Math.max(a.persistent, b.persistent) >= COMPOSED) return "call of which it is a part";
  return field ? FINGERPRINT_LABELS[field] : null;
}

/** A call in words: `allReduce(f32, count 5, op sum)`. */
export function describeCall(call: Fingerprint): string {
  const parts: string[] = [];
  if (call.dtype !== NO_CODE) parts.push(DATA_TYPES[call.dtype] ?? `dtype ${call.dtype}`);
  if (call.count !== NO_COUNT) parts.push(`count ${call.count}`);
  if (call.op !== NO_CODE) parts.push(`op ${REDUCE_OP_NAMES[call.op % IN_F32] ?? call.op}`);
  if (call.op !== NO_CODE && call.op >= IN_F32) parts.push("accumulate f32");
  const collective = COLLECTIVES[call.collective] ?? `collective ${call.collective}`;
  const pointToPoint = collective === "send" || collective === "recv" || collective === "recvAnySource";
  if (call.root !== NO_ROOT) parts.push(`${pointToPoint ? "tag" : "root"} ${call.root}`);
  const { refused, persistent } = call;
  const after = refused > 0 ? ` after ${refused === 1 ? "a call that was" : `${refused} calls that were`} refused` : "";
  return `${collective}(${parts.join(", ")})${wholeOf(persistent)}${after}`;
}

/** The persistent or composed call to which a collective belongs, in words. */
function wholeOf(persistent: number): string {
  if (persistent < COMPOSED) return persistent > 0 ? ` of persistent call ${persistent}` : "";
  const [number, kind] = [Math.floor((persistent - COMPOSED) / KINDS), persistent % KINDS];
  return ` of ${COMPOSED_CALLS[kind] ?? "a library"} (composed call ${number})`;
}

/** The collective's name, for an error's details. */
export function collectiveName(call: Fingerprint): string {
  return COLLECTIVES[call.collective] ?? `collective ${call.collective}`;
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
