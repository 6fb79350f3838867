/**
 * Plan: a request turned into what runs it: the algorithm's table row, its spans, and the fingerprint that all ranks must
 * share. Everything that can be refused is refused here, before a byte is sent.
 */

import { exchangeObjects } from "../../algorithm/messages/exchange-objects.ts";
import type { ObjectRequest } from "../../request.ts";
import type { Call } from "../backend.ts";
import { type CallFacts, factsOfLists } from "./call-facts.ts";
import {
  allGatherCoalesced,
  allReduceCoalesced,
  broadcastCoalesced,
  reduceScatterCoalesced,
} from "./coalesced-plan.ts";
import {
  addSpan,
  type CollectiveRequest,
  choose,
  equalParts,
  isRoot,
  type Plan,
  type Planning,
  type PlanScope,
  parts,
  plan,
  type RequestOf,
  spansOf,
  startOfFold,
  totalBytes,
  whole,
} from "./planning.ts";

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
    case "allReduceCoalesced":
      return allReduceCoalesced(planning, request);
    case "broadcastCoalesced":
      return broadcastCoalesced(planning, request);
    case "allGatherIntoTensorCoalesced":
      return allGatherCoalesced(planning, request);
    case "reduceScatterTensorCoalesced":
      return reduceScatterCoalesced(planning, request);
    case "barrier":
      return barrier(planning, {});
    case "newGroup":
      return barrier(planning, { detail: `${request.ranks.join()} ${request.name}`, own: request.backend });
    case "registerBackend":
    case "setDefaultBackend":
      return barrier(planning, { own: request.device });
    default:
      return objects(planning, request);
  }
}

/** A plan that moves nothing, and compares the calls of all ranks as `plan` would: a barrier with its fingerprint. */
export function agreementOn(plan: Plan, call: Call, scope: PlanScope): Plan {
  const step = planCollective({ collective: "barrier" }, { ...call, algorithm: undefined }, { ...scope, hub: "none" });
  return { ...step, fingerprint: plan.fingerprint, spans: plan.spans, op: plan.op };
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
