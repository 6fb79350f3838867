/** Call words: how errors name a call, and the field in which two differ. Loaded when the first two do. */
import { REDUCE_OP_NAMES } from "../reduce-op.ts";
import { COLLECTIVES, DATA_TYPES } from "../types.ts";
import { BACKENDS, COMPOSED, COMPOSED_CALLS } from "./fingerprint.ts";
import { type Fingerprint, IN_F32, NO_CODE, NO_COUNT, NO_ROOT, REFUSED_LABEL } from "./frame.ts";

/** The fields of a fingerprint, in the order in which two are compared, each with a user's words for it. */
export const FINGERPRINT_LABELS: Readonly<Record<keyof Fingerprint, string>> = {
  refused: REFUSED_LABEL,
  persistent: "persistent call",
  collective: "collective",
  dtype: "dtype",
  op: "reduce op",
  customOp: "custom reduce op (its name or its wgsl)",
  root: "root",
  count: "count",
  detail: "list of counts",
  algorithm: "algorithm",
  segmentBytes: "segment size",
  ahead: "number in the program",
};

/** Is the call told for the backend that it takes? */
const isForBackend = (call: Fingerprint) =>
  call.op === NO_CODE && call.customOp > 0 && call.customOp <= BACKENDS.length;

const FIELDS = Object.keys(FINGERPRINT_LABELS) as (keyof Fingerprint)[];

/** The first field that differs between two calls, in a user's words, or null. */
export function differingField(a: Fingerprint, b: Fingerprint): string | null {
  const field = FIELDS.find((name) => a[name] !== b[name]);
  if (field === "op" && (a.op ^ b.op) === IN_F32) return "accumulate";
  if (field === "detail" && COLLECTIVES[a.collective] === "newGroup") return "list of ranks, or name";
  if (field === "customOp" && isForBackend(a)) return "backend";
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
  const device = BACKENDS[call.customOp - 1];
  const on = isForBackend(call) ? ` on ${device ? `the backend of ${device}` : "the default backend"}` : "";
  const after = refused > 0 ? ` after ${refused === 1 ? "a call that was" : `${refused} calls that were`} refused` : "";
  return `${collective}(${parts.join(", ")})${on}${wholeOf(persistent)}${after}`;
}

/** The persistent or composed call to which a collective belongs, in words. */
function wholeOf(persistent: number): string {
  if (persistent < COMPOSED) return persistent > 0 ? ` of persistent call ${persistent}` : "";
  return ` of ${COMPOSED_CALLS[persistent - COMPOSED] ?? "a library"}`;
}

/** The collective's name, for an error's details. */
export function collectiveName(call: Fingerprint): string {
  return COLLECTIVES[call.collective] ?? `collective ${call.collective}`;
}
