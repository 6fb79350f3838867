/**
 * Fingerprints as ranks show them to each other in common memory or files: the fields in the order of their bytes in a
 * frame, each a number of 64-bit floating point.
 */
import type { Fingerprint } from "./frame.ts";

/** Numbers of a record. */
export const CALL_FIELDS = 12;

/** Writes `call` at index `at`. */
export function writeCall(floats: Float64Array, at: number, call: Fingerprint): void {
  setWord(floats, at, call.collective);
  setWord(floats, at + 1, call.dtype);
  setWord(floats, at + 2, call.op);
  setWord(floats, at + 3, call.refused);
  setWord(floats, at + 4, call.root);
  setWord(floats, at + 5, call.count);
  setWord(floats, at + 6, call.detail);
  setWord(floats, at + 7, call.customOp);
  setWord(floats, at + 8, call.algorithm);
  setWord(floats, at + 9, call.segmentBytes);
  setWord(floats, at + 10, call.persistent);
  setWord(floats, at + 11, call.ahead);
}

/** Writes a word where it differs: a line that is not written stays in the other cores' caches. */
export function setWord(array: Float64Array | Uint32Array, at: number, value: number): void {
  if (array[at] !== value) array[at] = value;
}

/** Stands where a call would, for a rank that makes none. */
const SKIPPED = Number.POSITIVE_INFINITY;

/** Writes at index `at` that there is no call. */
export function writeSkipped(floats: Float64Array, at: number): void {
  floats[at] = SKIPPED;
}

export function isSkipped(floats: Float64Array, at: number): boolean {
  return floats[at] === SKIPPED;
}

/** The call at index `at`. */
export function readCall(floats: Float64Array, at: number): Fingerprint {
  const field = (index: number) => floats[at + index] ?? 0;
  return {
    collective: field(0),
    dtype: field(1),
    op: field(2),
    refused: field(3),
    root: field(4),
    count: field(5),
    detail: field(6),
    customOp: field(7),
    algorithm: field(8),
    segmentBytes: field(9),
    persistent: field(10),
    ahead: field(11),
  };
}

/** Are the calls at two indices the same? */
export function sameCalls(floats: Float64Array, a: number, b: number): boolean {
  for (let i = 0; i < CALL_FIELDS; i++) if (floats[a + i] !== floats[b + i]) return false;
  return true;
}
