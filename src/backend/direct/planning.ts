/**
 * Planning: what the plans of all collectives have in common. A plan is a request turned into what runs it.
 */
import type { Context } from "../../algorithm/context.ts";
import type { AlgorithmFamily, Row, Table } from "../../algorithm/rows.ts";
import type { Executor, Span } from "../../executor/executor.ts";
import type { LinkKind } from "../../link/link.ts";
import { changesInputs, isCommutative, type ReduceOp } from "../../reduce-op.ts";
import type { MessageRequest, Request } from "../../request.ts";
import type { Late } from "../../support/late.ts";
import type { TensorView } from "../../tensor/view.ts";
import type { Fingerprint } from "../../wire/frame.ts";
import type { Call } from "../backend.ts";
import { type CallFacts, fingerprintOf } from "./call-facts.ts";
import { type SelectQuery, selectAlgorithm } from "./select.ts";

/** A request of a whole group; point-to-point ones need no plan. */
export type CollectiveRequest = Exclude<Request, MessageRequest>;

/** What does not change from call to call of a group. */
export interface PlanScope {
  /** The algorithms of this executor's memory. */
  readonly table: Table;
  /** Are the ranks of a region in this memory more than the cores that they run on? */
  readonly crowded: boolean;
  readonly executor: Executor;
  readonly rank: number;
  readonly size: number;
  readonly link: LinkKind;
  /** What the group has of a hub. */
  readonly hub: SelectQuery<AlgorithmFamily>["hub"];
  /** All ranks' executors report one arithmetic id. */
  readonly sameArithmetic: boolean;
  readonly segmentBytes: number;
}

/** A request ready to run. */
export interface Plan {
  /** In whose memory the tensors are. */
  readonly executor: Executor;
  readonly fingerprint: Fingerprint;
  /** The caller's tensors, for the executor to admit. */
  readonly spans: readonly Span[];
  readonly op: ReduceOp | null;
  /** Bytes of the longest run of elements that the call moves as one. */
  readonly longestBytes: number;
  /** Segments of scratch that each segment in flight takes. */
  readonly scratch: number;
  /** Does this rank's call write tensors of the caller, and does it do so before the first message comes? */
  readonly writes: "no" | "as messages come" | "at once";
  /** What the algorithm needs beyond messages; in a region, nothing is written before all calls are known to be the same. */
  readonly needs: Row<AlgorithmFamily>["needs"] | undefined;
  /** Undefined if all is done when it returns. */
  run(context: Context): Late;
}

/** Is it a call that the hub runs? */
export function isOfHub({ needs }: Plan): boolean {
  return needs === "hub" || needs === "hub and clusters";
}

/** A request of one collective. */
export type RequestOf<C extends CollectiveRequest["collective"]> = Extract<CollectiveRequest, { collective: C }>;

/** A plan that is being made. */
export interface Planning {
  readonly collective: CollectiveRequest["collective"];
  readonly call: Call;
  readonly scope: PlanScope;
  /** The caller's tensors so far. */
  readonly spans: Span[];
}

/** Is this rank `root`? */
export function isRoot(planning: Planning, root: number): boolean {
  return root === planning.scope.rank;
}

/** The caller's tensor as a span of the executor, noted in the plan. */
export function addSpan(planning: Planning, view: TensorView): Span {
  const span = planning.scope.executor.span(view);
  planning.spans.push(span);
  return span;
}

/** {@link addSpan} of each. */
export function spansOf(planning: Planning, views: readonly TensorView[]): Span[] {
  return views.map((view) => addSpan(planning, view));
}

/** A tensor's spans of these counts, one behind the other. */
export function parts(planning: Planning, view: TensorView, counts: readonly number[]): Span[] {
  const span = addSpan(planning, view);
  let start = 0;
  return counts.map((count) => {
    const part = planning.scope.executor.slice(span, start, count);
    start += count;
    return part;
  });
}

/** A tensor's spans of equal shares, one for each rank. */
export function equalParts(planning: Planning, view: TensorView): Span[] {
  const { size } = planning.scope;
  return parts(planning, view, new Array<number>(size).fill(view.count / size));
}

/** The row of the table that runs the call. */
export function choose<C extends AlgorithmFamily>(
  planning: Planning,
  collective: C,
  { op, bytes = 0 }: CallFacts,
): Row<C> {
  const { size, link, hub, table, crowded, sameArithmetic } = planning.scope;
  const query: SelectQuery<C> = {
    collective,
    bytes,
    size,
    link,
    deterministic: planning.call.deterministic,
    commutative: op === undefined || isCommutative(op),
    sameArithmetic: sameArithmetic && op?.name !== "custom",
    hub,
    crowded,
    custom: op?.name === "custom",
    algorithm: planning.call.algorithm,
  };
  return selectAlgorithm(table, query);
}

/** The plan that `row` runs. */
export function plan(
  planning: Planning,
  { algorithm, needs, scratch }: Pick<Row<AlgorithmFamily>, "algorithm" | "needs" | "scratch">,
  facts: CallFacts,
  writes: Plan["writes"],
  run: Plan["run"],
  longestBytes: number = longestOf(planning.spans),
): Plan {
  const { executor, segmentBytes, size } = planning.scope;
  const fingerprint = fingerprintOf(planning.collective, algorithm, facts, segmentBytes);
  const spans = planning.spans;
  const op = facts.op ?? null;
  return { executor, fingerprint, spans, op, longestBytes, scratch: scratch?.(size) ?? 0, writes, needs, run };
}

function longestOf(spans: readonly Span[]): number {
  let longest = 0;
  for (const { byteLength } of spans) longest = Math.max(longest, byteLength);
  return longest;
}

/** An operation that prepares its inputs changes an in-place tensor before anything is sent. */
export function startOfFold(op: ReduceOp, { dtype }: Span): Plan["writes"] {
  return changesInputs(op, dtype) ? "at once" : "as messages come";
}

/** What is known of a call with one tensor. */
export function whole({ dtype, count }: Span, op?: ReduceOp, root?: number): CallFacts {
  return { dtype, count, op, root };
}

/** Bytes of all spans. */
export function totalBytes(spans: readonly Span[]): number {
  return spans.reduce((bytes, { byteLength }) => bytes + byteLength, 0);
}
