/**
 * Plan: a request turned into what runs it: the algorithm's table row, its spans, and the fingerprint that all ranks must
 * share. Everything that can be refused is refused here, before a byte is sent.
 */

import type { Context } from "../../algorithm/context.ts";
import { exchangeObjects } from "../../algorithm/messages/exchange-objects.ts";
import type { AlgorithmFamily, Row, Table } from "../../algorithm/rows.ts";
import type { Executor, Span } from "../../executor/executor.ts";
import type { LinkKind } from "../../link/link.ts";
import { changesInputs, isCommutative, type ReduceOp } from "../../reduce-op.ts";
import type { MessageRequest, ObjectRequest, Request } from "../../request.ts";
import type { Late } from "../../support/late.ts";
import type { TensorView } from "../../tensor/view.ts";
import type { Fingerprint } from "../../wire/frame.ts";
import type { Call } from "../backend.ts";
import { type CallFacts, factsOfLists, fingerprintOf } from "./call-facts.ts";
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
  readonly fingerprint: Fingerprint;
  /** The caller's tensors, for the executor to admit. */
  readonly spans: readonly Span[];
  readonly op: ReduceOp | null;
  /** Segments of scratch that each segment in flight takes. */
  readonly scratch: number;
  /** Does this rank's call write tensors of the caller, and does it do so before the first message comes? */
  readonly writes: "no" | "as messages come" | "at once";
  /** What the algorithm needs beyond messages; in a region, nothing is written before all calls are known to be the same. */
  readonly needs: Row<AlgorithmFamily>["needs"] | undefined;
  /** Undefined if all is done when it returns. */
  run(context: Context): Late;
}

/**
 * Plans a request.
 * @throws RangeError for an algorithm that does not exist or does not fit.
 */
export function planCollective(request: CollectiveRequest, call: Call, scope: PlanScope): Plan {
  const planning: Planning = { collective: request.collective, call, scope, spans: [] };
  switch (request.collective) {
    case "allReduce":
      return allReduce(planning, request);
    case "broadcast":
      return broadcast(planning, request);
    case "reduce":
      return reduce(planning, request);
    case "allGather":
    case "allGatherIntoTensor":
      return allGather(planning, request);
    case "reduceScatter":
    case "reduceScatterTensor":
      return reduceScatter(planning, request);
    case "gather":
      return gather(planning, request);
    case "scatter":
      return scatter(planning, request);
    case "allToAll":
    case "allToAllSingle":
      return allToAll(planning, request);
    case "scan":
    case "exscan":
      return scan(planning, request);
    case "barrier":
      return barrier(planning, {});
    case "newGroup":
      return barrier(planning, { detail: `${request.ranks.join()} ${request.name}` });
    default:
      return objects(planning, request);
  }
}

/** Is it a call that the hub runs? */
export function isOfHub({ needs }: Plan): boolean {
  return needs === "hub" || needs === "hub and clusters";
}

type RequestOf<C extends CollectiveRequest["collective"]> = Extract<CollectiveRequest, { collective: C }>;

/** A plan that is being made. */
interface Planning {
  readonly collective: CollectiveRequest["collective"];
  readonly call: Call;
  readonly scope: PlanScope;
  /** The caller's tensors so far. */
  readonly spans: Span[];
}

function allReduce(planning: Planning, { tensor, op }: RequestOf<"allReduce">): Plan {
  const span = addSpan(planning, tensor);
  const row = choose(planning, "allReduce", { op, bytes: span.byteLength });
  return plan(planning, row, whole(span, op), startOfFold(op, span), (context) => row.run(context, span, op));
}

function broadcast(planning: Planning, { tensor, root }: RequestOf<"broadcast">): Plan {
  const span = addSpan(planning, tensor);
  const row = choose(planning, "broadcast", { bytes: span.byteLength });
  const writes = isRoot(planning, root) ? "no" : "as messages come";
  return plan(planning, row, whole(span, undefined, root), writes, (context) => row.run(context, span, root));
}

function reduce(planning: Planning, { tensor, root, op }: RequestOf<"reduce">): Plan {
  const span = addSpan(planning, tensor);
  const row = choose(planning, "reduce", { op, bytes: span.byteLength });
  const writes = isRoot(planning, root) ? startOfFold(op, span) : "no";
  return plan(planning, row, whole(span, op, root), writes, (context) => row.run(context, span, root, op));
}

function allGather(planning: Planning, request: RequestOf<"allGather" | "allGatherIntoTensor">): Plan {
  const input = addSpan(planning, request.input);
  const isList = request.collective === "allGather";
  const outputs = isList ? spansOf(planning, request.outputs) : equalParts(planning, request.output);
  const row = choose(planning, "allGather", { bytes: totalBytes(outputs) });
  return plan(planning, row, factsOfLists(outputs), "at once", (context) => row.run(context, outputs, input));
}

function reduceScatter(planning: Planning, request: RequestOf<"reduceScatter" | "reduceScatterTensor">): Plan {
  const { op } = request;
  const output = addSpan(planning, request.output);
  const isList = request.collective === "reduceScatter";
  const inputs = isList ? spansOf(planning, request.inputs) : equalParts(planning, request.input);
  const row = choose(planning, "reduceScatter", { op, bytes: totalBytes(inputs) });
  const facts = { ...factsOfLists(inputs), op };
  return plan(planning, row, facts, "at once", (context) => row.run(context, output, inputs, op));
}

function gather(planning: Planning, { input, outputs, root }: RequestOf<"gather">): Plan {
  const span = addSpan(planning, input);
  const spans = outputs && spansOf(planning, outputs);
  const row = choose(planning, "gather", {});
  const writes = isRoot(planning, root) ? "at once" : "no";
  return plan(planning, row, { dtype: span.dtype, root }, writes, (context) => row.run(context, spans, span, root));
}

function scatter(planning: Planning, { output, inputs, root }: RequestOf<"scatter">): Plan {
  const span = addSpan(planning, output);
  const spans = inputs && spansOf(planning, inputs);
  const row = choose(planning, "scatter", {});
  const writes = isRoot(planning, root) ? "at once" : "as messages come";
  return plan(planning, row, { dtype: span.dtype, root }, writes, (context) => row.run(context, span, spans, root));
}

function allToAll(planning: Planning, request: RequestOf<"allToAll" | "allToAllSingle">): Plan {
  const isList = request.collective === "allToAll";
  const outputs = isList ? spansOf(planning, request.outputs) : parts(planning, request.output, request.outputSplits);
  const inputs = isList ? spansOf(planning, request.inputs) : parts(planning, request.input, request.inputSplits);
  const row = choose(planning, "allToAll", {});
  return plan(planning, row, { dtype: outputs[0]?.dtype }, "at once", (context) => row.run(context, outputs, inputs));
}

function scan(planning: Planning, { collective, tensor, op }: RequestOf<"scan" | "exscan">): Plan {
  const span = addSpan(planning, tensor);
  const exclusive = collective === "exscan";
  const row = choose(planning, "scan", { op, bytes: span.byteLength });
  // Rank 0 finishes an AVG without waiting for anyone.
  const writes = op.name === "avg" ? "at once" : startOfFold(op, span);
  return plan(planning, row, whole(span, op), writes, (context) => row.run(context, span, op, { exclusive }));
}

function barrier(planning: Planning, facts: CallFacts): Plan {
  const row = choose(planning, "barrier", {});
  return plan(planning, row, facts, "no", (context) => row.run(context));
}

function objects(planning: Planning, { outgoing, sources, received, root }: ObjectRequest): Plan {
  return plan(planning, { algorithm: "direct" }, root === null ? {} : { root }, "no", (context) =>
    exchangeObjects(context, outgoing, sources, received),
  );
}

function isRoot(planning: Planning, root: number): boolean {
  return root === planning.scope.rank;
}

function addSpan(planning: Planning, view: TensorView): Span {
  const span = planning.scope.executor.span(view);
  planning.spans.push(span);
  return span;
}

function spansOf(planning: Planning, views: readonly TensorView[]): Span[] {
  return views.map((view) => addSpan(planning, view));
}

/** A tensor's spans of these counts, one behind the other. */
function parts(planning: Planning, view: TensorView, counts: readonly number[]): Span[] {
  const span = addSpan(planning, view);
  let start = 0;
  return counts.map((count) => {
    const part = planning.scope.executor.slice(span, start, count);
    start += count;
    return part;
  });
}

function equalParts(planning: Planning, view: TensorView): Span[] {
  const { size } = planning.scope;
  return parts(planning, view, new Array<number>(size).fill(view.count / size));
}

function choose<C extends AlgorithmFamily>(planning: Planning, collective: C, { op, bytes = 0 }: CallFacts): Row<C> {
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

function plan(
  planning: Planning,
  { algorithm, needs, scratch }: Pick<Row<AlgorithmFamily>, "algorithm" | "needs" | "scratch">,
  facts: CallFacts,
  writes: Plan["writes"],
  run: Plan["run"],
): Plan {
  const { segmentBytes, size } = planning.scope;
  const fingerprint = fingerprintOf(planning.collective, algorithm, facts, segmentBytes);
  const spans = planning.spans;
  return { fingerprint, spans, op: facts.op ?? null, scratch: scratch?.(size) ?? 0, writes, needs, run };
}

/** An operation that prepares its inputs changes an in-place tensor before anything is sent. */
function startOfFold(op: ReduceOp, { dtype }: Span): Plan["writes"] {
  return changesInputs(op, dtype) ? "at once" : "as messages come";
}

function whole({ dtype, count }: Span, op?: ReduceOp, root?: number): CallFacts {
  return { dtype, count, op, root };
}

function totalBytes(spans: readonly Span[]): number {
  return spans.reduce((bytes, { byteLength }) => bytes + byteLength, 0);
}
