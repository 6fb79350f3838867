/**
 * Plan: a request turned into what runs it: the algorithm's table row, its spans, and the fingerprint that all ranks must
 * share. Everything that can be refused is refused here, before a byte is sent.
 */

import type { Context } from "../../algorithm/context.ts";
import { exchangeObjects } from "../../algorithm/messages/objects.ts";
import type { AlgorithmFamily, Row, Table } from "../../algorithm/rows.ts";
import type { Executor, Span } from "../../executor/executor.ts";
import type { LinkKind } from "../../link/link.ts";
import { changesInputs, isCommutative, type ReduceOp } from "../../reduce-op.ts";
import type { MessageRequest, ObjectRequest, Request } from "../../request.ts";
import type { Late } from "../../support/late.ts";
import type { TensorView } from "../../tensor/view.ts";
import type { Fingerprint } from "../../wire/frame.ts";
import type { Call } from "../backend.ts";
import { type Facts, factsOfLists, fingerprintOf } from "./facts.ts";
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
  const planner = new Planner(request.collective, call, scope);
  switch (request.collective) {
    case "allReduce":
      return planner.allReduce(request);
    case "broadcast":
      return planner.broadcast(request);
    case "reduce":
      return planner.reduce(request);
    case "allGather":
    case "allGatherIntoTensor":
      return planner.allGather(request);
    case "reduceScatter":
    case "reduceScatterTensor":
      return planner.reduceScatter(request);
    case "gather":
      return planner.gather(request);
    case "scatter":
      return planner.scatter(request);
    case "allToAll":
    case "allToAllSingle":
      return planner.allToAll(request);
    case "scan":
    case "exscan":
      return planner.scan(request);
    case "barrier":
      return planner.barrier({});
    case "newGroup":
      return planner.barrier({ detail: request.ranks.join() });
    default:
      return planner.objects(request);
  }
}

/** Is it a call that the hub runs? */
export function isOfHub({ needs }: Plan): boolean {
  return needs === "hub" || needs === "hub and clusters";
}

type RequestOf<C extends CollectiveRequest["collective"]> = Extract<CollectiveRequest, { collective: C }>;

/** Makes one plan. */
class Planner {
  readonly #collective: CollectiveRequest["collective"];
  readonly #call: Call;
  readonly #scope: PlanScope;
  /** The caller's tensors so far. */
  readonly #spans: Span[] = [];

  constructor(collective: CollectiveRequest["collective"], call: Call, scope: PlanScope) {
    this.#collective = collective;
    this.#call = call;
    this.#scope = scope;
  }

  allReduce({ tensor, op }: RequestOf<"allReduce">): Plan {
    const span = this.#span(tensor);
    const row = this.#choose("allReduce", { op, bytes: span.byteLength });
    return this.#plan(row, whole(span, op), startOfFold(op, span), (context) => row.run(context, span, op));
  }

  broadcast({ tensor, root }: RequestOf<"broadcast">): Plan {
    const span = this.#span(tensor);
    const row = this.#choose("broadcast", { bytes: span.byteLength });
    const writes = this.#isRoot(root) ? "no" : "as messages come";
    return this.#plan(row, whole(span, undefined, root), writes, (context) => row.run(context, span, root));
  }

  reduce({ tensor, root, op }: RequestOf<"reduce">): Plan {
    const span = this.#span(tensor);
    const row = this.#choose("reduce", { op, bytes: span.byteLength });
    const writes = this.#isRoot(root) ? startOfFold(op, span) : "no";
    return this.#plan(row, whole(span, op, root), writes, (context) => row.run(context, span, root, op));
  }

  allGather(request: RequestOf<"allGather" | "allGatherIntoTensor">): Plan {
    const input = this.#span(request.input);
    const isList = request.collective === "allGather";
    const outputs = isList ? this.#spansOf(request.outputs) : this.#equalParts(request.output);
    const row = this.#choose("allGather", { bytes: totalBytes(outputs) });
    return this.#plan(row, factsOfLists(outputs), "at once", (context) => row.run(context, outputs, input));
  }

  reduceScatter(request: RequestOf<"reduceScatter" | "reduceScatterTensor">): Plan {
    const { op } = request;
    const output = this.#span(request.output);
    const isList = request.collective === "reduceScatter";
    const inputs = isList ? this.#spansOf(request.inputs) : this.#equalParts(request.input);
    const row = this.#choose("reduceScatter", { op, bytes: totalBytes(inputs) });
    const facts = { ...factsOfLists(inputs), op };
    return this.#plan(row, facts, "at once", (context) => row.run(context, output, inputs, op));
  }

  gather({ input, outputs, root }: RequestOf<"gather">): Plan {
    const span = this.#span(input);
    const spans = outputs && this.#spansOf(outputs);
    const row = this.#choose("gather", {});
    const writes = this.#isRoot(root) ? "at once" : "no";
    return this.#plan(row, { dtype: span.dtype, root }, writes, (context) => row.run(context, spans, span, root));
  }

  scatter({ output, inputs, root }: RequestOf<"scatter">): Plan {
    const span = this.#span(output);
    const spans = inputs && this.#spansOf(inputs);
    const row = this.#choose("scatter", {});
    const writes = this.#isRoot(root) ? "at once" : "as messages come";
    return this.#plan(row, { dtype: span.dtype, root }, writes, (context) => row.run(context, span, spans, root));
  }

  allToAll(request: RequestOf<"allToAll" | "allToAllSingle">): Plan {
    const isList = request.collective === "allToAll";
    const outputs = isList ? this.#spansOf(request.outputs) : this.#parts(request.output, request.outputSplits);
    const inputs = isList ? this.#spansOf(request.inputs) : this.#parts(request.input, request.inputSplits);
    const row = this.#choose("allToAll", {});
    return this.#plan(row, { dtype: outputs[0]?.dtype }, "at once", (context) => row.run(context, outputs, inputs));
  }

  scan({ collective, tensor, op }: RequestOf<"scan" | "exscan">): Plan {
    const span = this.#span(tensor);
    const exclusive = collective === "exscan";
    const row = this.#choose("scan", { op, bytes: span.byteLength });
    // Rank 0 finishes an AVG without waiting for anyone.
    const writes = op.name === "avg" ? "at once" : startOfFold(op, span);
    return this.#plan(row, whole(span, op), writes, (context) => row.run(context, span, op, { exclusive }));
  }

  barrier(facts: Facts): Plan {
    const row = this.#choose("barrier", {});
    return this.#plan(row, facts, "no", (context) => row.run(context));
  }

  objects({ outgoing, sources, received, root }: ObjectRequest): Plan {
    return this.#plan({ algorithm: "direct" }, root === null ? {} : { root }, "no", (context) =>
      exchangeObjects(context, outgoing, sources, received),
    );
  }

  #isRoot(root: number): boolean {
    return root === this.#scope.rank;
  }

  #span(view: TensorView): Span {
    const span = this.#scope.executor.span(view);
    this.#spans.push(span);
    return span;
  }

  #spansOf(views: readonly TensorView[]): Span[] {
    return views.map((view) => this.#span(view));
  }

  /** A tensor's spans of these counts, one behind the other. */
  #parts(view: TensorView, counts: readonly number[]): Span[] {
    const span = this.#span(view);
    let start = 0;
    return counts.map((count) => {
      const part = this.#scope.executor.slice(span, start, count);
      start += count;
      return part;
    });
  }

  #equalParts(view: TensorView): Span[] {
    const { size } = this.#scope;
    return this.#parts(view, new Array<number>(size).fill(view.count / size));
  }

  #choose<C extends AlgorithmFamily>(collective: C, { op, bytes = 0 }: Facts): Row<C> {
    const { size, link, hub, table, crowded, sameArithmetic } = this.#scope;
    const query: SelectQuery<C> = {
      collective,
      bytes,
      size,
      link,
      deterministic: this.#call.deterministic,
      commutative: op === undefined || isCommutative(op),
      sameArithmetic: sameArithmetic && op?.name !== "custom",
      hub,
      crowded,
      custom: op?.name === "custom",
      algorithm: this.#call.algorithm,
    };
    return selectAlgorithm(table, query);
  }

  #plan(
    { algorithm, needs, scratch }: Pick<Row<AlgorithmFamily>, "algorithm" | "needs" | "scratch">,
    facts: Facts,
    writes: Plan["writes"],
    run: Plan["run"],
  ): Plan {
    const { segmentBytes, size } = this.#scope;
    const fingerprint = fingerprintOf(this.#collective, algorithm, facts, segmentBytes);
    const spans = this.#spans;
    return { fingerprint, spans, op: facts.op ?? null, scratch: scratch?.(size) ?? 0, writes, needs, run };
  }
}

/** An operation that prepares its inputs changes an in-place tensor before anything is sent. */
function startOfFold(op: ReduceOp, { dtype }: Span): Plan["writes"] {
  return changesInputs(op, dtype) ? "at once" : "as messages come";
}

function whole({ dtype, count }: Span, op?: ReduceOp, root?: number): Facts {
  return { dtype, count, op, root };
}

function totalBytes(spans: readonly Span[]): number {
  return spans.reduce((bytes, { byteLength }) => bytes + byteLength, 0);
}
