/** Call facts: what a call is, as all its ranks must agree on it, and the fingerprint that carries them. */
import type { Span } from "../../executor/executor.ts";
import { REDUCE_OP_NAMES, type ReduceOp } from "../../reduce-op.ts";
import { COLLECTIVES, type Collective, DATA_TYPES, type DataType } from "../../types.ts";
import { hash32, hash52 } from "../../wire/fingerprint.ts";
import { type Fingerprint, MOST_REFUSED, NO_CODE, NO_COUNT, NO_ROOT } from "../../wire/frame.ts";
import type { Call } from "../backend.ts";

/** What is known of a call beyond its collective. */
export interface CallFacts {
  dtype?: DataType | undefined;
  op?: ReduceOp | undefined;
  root?: number | undefined;
  count?: number | undefined;
  detail?: string | undefined;
  /** Of a call without an operation, what else must be equal and has a name of its own: the kind of a backend, or its device. */
  own?: string | undefined;
  /** For the choice of the algorithm; the same on every rank. */
  bytes?: number | undefined;
}

/** What all ranks of a call must have in common. */
export function fingerprintOf(
  collective: Collective,
  algorithm: string,
  { dtype, op, root, count, detail, own }: CallFacts,
  segmentBytes: number,
): Fingerprint {
  return {
    collective: COLLECTIVES.indexOf(collective),
    dtype: dtype === undefined ? NO_CODE : DATA_TYPES.indexOf(dtype),
    op: op === undefined ? NO_CODE : REDUCE_OP_NAMES.indexOf(op.name),
    root: root ?? NO_ROOT,
    count: count ?? NO_COUNT,
    detail: detail === undefined ? 0 : hash52(detail),
    customOp: op?.name === "custom" ? hash52(`${op.label}\n${op.wgsl}`) : own === undefined ? 0 : hash52(own),
    algorithm: hash32(algorithm),
    segmentBytes,
    refused: 0,
    persistent: 0,
    ahead: 0,
  };
}

/**
 * A plan with its fingerprint as that of one call: with the calls that were refused before it, the persistent call of which it is a start,
 * and its number in the program. The plan itself if it has that one already.
 */
export function fingerprintOfCall<P extends { readonly fingerprint: Fingerprint }>(
  plan: P,
  { refusedBefore, persistent, number, sequence }: Call,
): P {
  const { fingerprint } = plan;
  const ahead = number - sequence;
  const refused = Math.min(refusedBefore, MOST_REFUSED);
  const { persistent: before } = fingerprint;
  if (refused === fingerprint.refused && persistent === before && ahead === fingerprint.ahead) return plan;
  return { ...plan, fingerprint: { ...fingerprint, refused, persistent, ahead } };
}

/** The fingerprint of a point-to-point message; its tag stands where a root does. */
export function messageFingerprint(
  collective: "send" | "recv" | "recvAnySource",
  span: Pick<Span, "dtype" | "count">,
  tag: number,
): Fingerprint {
  return {
    ...EMPTY,
    collective: COLLECTIVES.indexOf(collective),
    dtype: DATA_TYPES.indexOf(span.dtype),
    count: span.count,
    root: tag,
  };
}

const EMPTY: Fingerprint = {
  ...{ collective: 0, dtype: NO_CODE, op: NO_CODE, root: NO_ROOT, count: NO_COUNT },
  ...{ detail: 0, customOp: 0, algorithm: 0, segmentBytes: 0, refused: 0, persistent: 0, ahead: 0 },
};

/** Lists whose lengths every rank must agree on. */
export function factsOfLists(spans: readonly Pick<Span, "dtype" | "count">[]): CallFacts {
  const counts = spans.map(({ count }) => count);
  return { dtype: spans[0]?.dtype, count: counts.reduce((a, b) => a + b, 0), detail: counts.join() };
}
