/**
 * Plan: a request turned into what runs it: the algorithm's table row, its spans, and the fingerprint that all ranks must
 * share. Everything that can be refused is refused here, before a byte is sent.
 */

import type { Context } from "../../algorithm/context.ts";
import { exchangeObjects } from "../../algorithm/messages/objects.ts";
import type { AlgorithmFamily, Row, Table } from "../../algorithm/rows.ts";
import type { Executor, Span } from "../../executor/executor.ts";
import type { LinkKind } from "../../link/link.ts";
import { changesInputs, isCommutative, REDUCE_OP_NAMES, type ReduceOp } from "../../reduce-op.ts";
import type { MessageRequest, Request } from "../../request.ts";
import type { Late } from "../../support/late.ts";
import { COLLECTIVES, DATA_TYPES, type DataType, type Tensor } from "../../types.ts";
import { hash32, hash52 } from "../../wire/fingerprint.ts";
import { type Fingerprint, NO_CODE, NO_COUNT, NO_ROOT } from "../../wire/frame.ts";
import type { Call } from "../backend.ts";
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

/** A scope, and the spans made so far. */
interface Planning extends PlanScope {
  readonly spans: Span[];
}

/** What a plan says of the call beyond the request itself. */
export interface Facts {
  dtype?: DataType | undefined;
  op?: ReduceOp | undefined;
  root?: number | undefined;
  count?: number | undefined;
  detail?: string | undefined;
  /** For the choice of the algorithm; the same on every rank. */
  bytes?: number | undefined;
}

/**
 * Plans a request.
 * @throws TypeError for a tensor that is none, RangeError for an algorithm that does not exist or does not fit.
 */
export function planCollective(request: CollectiveRequest, call: Call, given: PlanScope): Plan {
  const { executor, rank, size, link, hub, table, crowded, sameArithmetic, segmentBytes } = given;
  // Field by field: a spread would take as long as the rest of the plan.
  const scope: Planning = { executor, rank, size, link, hub, table, crowded, sameArithmetic, segmentBytes, spans: [] };
  const span = (tensor: Tensor) => {
    const made = executor.span(tensor);
    scope.spans.push(made);
    return made;
  };
  const spans = (tensors: readonly Tensor[]) => tensors.map(span);
  const isRoot = "root" in request && request.root === rank;

  switch (request.collective) {
    case "allReduce": {
      const tensor = span(request.tensor);
      const { op } = request;
      const row = choose("allReduce", { op, bytes: tensor.byteLength }, call, scope);
      return plan(request, row, whole(tensor, op), scope, startOfFold(op, tensor), (context) =>
        row.run(context, tensor, op),
      );
    }
    case "broadcast": {
      const tensor = span(request.tensor);
      const { root } = request;
      const row = choose("broadcast", { bytes: tensor.byteLength }, call, scope);
      const writes = isRoot ? "no" : "as messages come";
      return plan(request, row, whole(tensor, undefined, root), scope, writes, (context) =>
        row.run(context, tensor, root),
      );
    }
    case "reduce": {
      const tensor = span(request.tensor);
      const { root, op } = request;
      const row = choose("reduce", { op, bytes: tensor.byteLength }, call, scope);
      const writes = isRoot ? startOfFold(op, tensor) : "no";
      return plan(request, row, whole(tensor, op, root), scope, writes, (context) =>
        row.run(context, tensor, root, op),
      );
    }
    case "allGather":
    case "allGatherIntoTensor": {
      const input = span(request.input);
      const outputs =
        request.collective === "allGather" ? spans(request.outputs) : equalParts(executor, span(request.output), size);
      const row = choose("allGather", { bytes: totalBytes(outputs) }, call, scope);
      return plan(request, row, lists(outputs), scope, "at once", (context) => row.run(context, outputs, input));
    }
    case "reduceScatter":
    case "reduceScatterTensor": {
      const output = span(request.output);
      const { op } = request;
      const inputs =
        request.collective === "reduceScatter"
          ? spans(request.inputs)
          : equalParts(executor, span(request.input), size);
      const row = choose("reduceScatter", { op, bytes: totalBytes(inputs) }, call, scope);
      return plan(request, row, { ...lists(inputs), op }, scope, "at once", (context) =>
        row.run(context, output, inputs, op),
      );
    }
    case "gather": {
      const input = span(request.input);
      const outputs = request.outputs && spans(request.outputs);
      const row = choose("gather", {}, call, scope);
      const facts = { dtype: input.dtype, root: request.root };
      return plan(request, row, facts, scope, isRoot ? "at once" : "no", (context) =>
        row.run(context, outputs, input, request.root),
      );
    }
    case "scatter": {
      const output = span(request.output);
      const inputs = request.inputs && spans(request.inputs);
      const row = choose("scatter", {}, call, scope);
      const facts = { dtype: output.dtype, root: request.root };
      return plan(request, row, facts, scope, isRoot ? "at once" : "as messages come", (context) =>
        row.run(context, output, inputs, request.root),
      );
    }
    case "allToAll":
    case "allToAllSingle": {
      const outputs =
        request.collective === "allToAll"
          ? spans(request.outputs)
          : parts(executor, span(request.output), request.outputSplits);
      const inputs =
        request.collective === "allToAll"
          ? spans(request.inputs)
          : parts(executor, span(request.input), request.inputSplits);
      const row = choose("allToAll", {}, call, scope);
      return plan(request, row, { dtype: outputs[0]!.dtype }, scope, "at once", (context) =>
        row.run(context, outputs, inputs),
      );
    }
    case "scan":
    case "exscan": {
      const tensor = span(request.tensor);
      const { op } = request;
      const exclusive = request.collective === "exscan";
      const row = choose("scan", { op, bytes: tensor.byteLength }, call, scope);
      // Rank 0 finishes an AVG without waiting for anyone.
      const writes = op.name === "avg" ? "at once" : startOfFold(op, tensor);
      return plan(request, row, whole(tensor, op), scope, writes, (context) =>
        row.run(context, tensor, op, { exclusive }),
      );
    }
    case "barrier":
    case "newGroup": {
      const row = choose("barrier", {}, call, scope);
      const facts = request.collective === "newGroup" ? { detail: request.ranks.join() } : {};
      return plan(request, row, facts, scope, "no", (context) => row.run(context));
    }
    default: {
      const { outgoing, sources, received, root } = request;
      return plan(request, { algorithm: "direct" }, root === null ? {} : { root }, scope, "no", (context) =>
        exchangeObjects(context, outgoing, sources, received),
      );
    }
  }
}

/** Is it a call that the hub runs? */
export function isOfHub({ needs }: Plan): boolean {
  return needs === "hub" || needs === "hub and clusters";
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
  ...{ detail: 0, customOp: 0, algorithm: 0, segmentBytes: 0 },
};

function plan(
  { collective }: CollectiveRequest,
  { algorithm, needs, scratch }: Pick<Row<AlgorithmFamily>, "algorithm" | "needs" | "scratch">,
  facts: Facts,
  { spans, segmentBytes, size }: Planning,
  writes: Plan["writes"],
  run: Plan["run"],
): Plan {
  const fingerprint = fingerprintOf(collective, algorithm, facts, segmentBytes);
  return { fingerprint, spans, op: facts.op ?? null, scratch: scratch?.(size) ?? 0, writes, needs, run };
}

/** What all ranks of a call must have in common. */
export function fingerprintOf(
  collective: CollectiveRequest["collective"],
  algorithm: string,
  { dtype, op, root, count, detail }: Facts,
  segmentBytes: number,
): Fingerprint {
  return {
    collective: COLLECTIVES.indexOf(collective),
    dtype: dtype === undefined ? NO_CODE : DATA_TYPES.indexOf(dtype),
    op: op === undefined ? NO_CODE : REDUCE_OP_NAMES.indexOf(op.name),
    root: root ?? NO_ROOT,
    count: count ?? NO_COUNT,
    detail: detail === undefined ? 0 : hash52(detail),
    customOp: op?.name === "custom" ? hash52(`${op.label}\n${op.wgsl}`) : 0,
    algorithm: hash32(algorithm),
    segmentBytes,
  };
}

function choose<C extends AlgorithmFamily>(
  collective: C,
  { op, bytes = 0 }: Facts,
  call: Call,
  { size, link, hub, table, crowded, sameArithmetic }: PlanScope,
) {
  const query: SelectQuery<C> = {
    collective,
    bytes,
    size,
    link,
    deterministic: call.deterministic,
    commutative: op === undefined || isCommutative(op),
    sameArithmetic: sameArithmetic && op?.name !== "custom",
    hub,
    crowded,
    custom: op?.name === "custom",
    algorithm: call.algorithm,
  };
  return selectAlgorithm(table, query);
}

/** An operation that prepares its inputs changes an in-place tensor before anything is sent. */
function startOfFold(op: ReduceOp, { dtype }: Span): Plan["writes"] {
  return changesInputs(op, dtype) ? "at once" : "as messages come";
}

function whole({ dtype, count }: Span, op?: ReduceOp, root?: number): Facts {
  return { dtype, count, op, root };
}

/** Lists whose lengths every rank must agree on. */
function lists(spans: readonly Span[]): Facts {
  const counts = spans.map(({ count }) => count);
  return { dtype: spans[0]!.dtype, count: counts.reduce((a, b) => a + b, 0), detail: counts.join() };
}

function totalBytes(spans: readonly Span[]): number {
  return spans.reduce((bytes, { byteLength }) => bytes + byteLength, 0);
}

function equalParts(executor: Executor, span: Span, size: number): Span[] {
  const count = span.count / size;
  return Array.from({ length: size }, (_, r) => executor.slice(span, r * count, count));
}

function parts(executor: Executor, span: Span, counts: readonly number[]): Span[] {
  let start = 0;
  return counts.map((count) => {
    const part = executor.slice(span, start, count);
    start += count;
    return part;
  });
}
