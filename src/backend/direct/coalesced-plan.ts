/**
 * Plans of coalesced collectives: many tensors as one call. Tensors of one dtype are put into a bundle, one behind the other,
 * and the bundle is reduced or gathered as one tensor would be: so there is one message where each tensor would have had its
 * own. A long list has more than one bundle; the call runs one after the other. A bundle of one tensor is not copied.
 */
import type { Context } from "../../algorithm/context.ts";
import type { AlgorithmFamily, Row } from "../../algorithm/rows.ts";
import { MOST_BUNDLE_BYTES } from "../../algorithm/segments.ts";
import type { Executor, Packing, Span } from "../../executor/executor.ts";
import { after, type Late } from "../../support/late.ts";
import { bytesPerElement, type DataType } from "../../types.ts";
import type { CallFacts } from "./call-facts.ts";
import {
  choose,
  equalParts,
  isRoot,
  type Plan,
  type Planning,
  plan,
  type RequestOf,
  spansOf,
  startOfFold,
} from "./planning.ts";

/** Elements of the list's tensors that go as one. */
interface Bundle {
  readonly dtype: DataType;
  /** Which tensors of the list, and where each begins. */
  readonly items: readonly number[];
  readonly starts: readonly number[];
  readonly count: number;
}

/** Plans `allReduceCoalesced`. */
export function allReduceCoalesced(planning: Planning, { tensors, op }: RequestOf<"allReduceCoalesced">): Plan {
  const spans = spansOf(planning, tensors);
  const writes = spans.some((span) => startOfFold(op, span) === "at once") ? "at once" : "as messages come";
  return coalesced(planning, "allReduce", spans, { op }, writes, 1, {
    sources: [spans],
    targets: [spans],
    alone: (row, context, item) => row.run(context, spans[item]!, op),
    together: (row, context, [flat]) => row.run(context, flat!, op),
  });
}

/** Plans `broadcastCoalesced`. */
export function broadcastCoalesced(planning: Planning, { tensors, root }: RequestOf<"broadcastCoalesced">): Plan {
  const spans = spansOf(planning, tensors);
  const isSource = isRoot(planning, root);
  return coalesced(planning, "broadcast", spans, { root }, isSource ? "no" : "as messages come", 1, {
    sources: [isSource ? spans : null],
    targets: [isSource ? null : spans],
    alone: (row, context, item) => row.run(context, spans[item]!, root),
    together: (row, context, [flat]) => row.run(context, flat!, root),
  });
}

/** Plans `allGatherIntoTensorCoalesced`. */
export function allGatherCoalesced(
  planning: Planning,
  { outputs, inputs }: RequestOf<"allGatherIntoTensorCoalesced">,
): Plan {
  const { rank, size } = planning.scope;
  const sources = spansOf(planning, inputs);
  const targets = byRank(
    outputs.map((output) => equalParts(planning, output)),
    size,
  );
  const packed = targets.map((_, r) => (r === rank ? sources : null));
  return coalesced(planning, "allGather", sources, {}, "at once", size, {
    sources: packed,
    targets,
    alone: (row, context, item) => row.run(context, ofItem(targets, item), sources[item]!),
    together: (row, context, flats) => row.run(context, flats, flats[rank]!),
  });
}

/** Plans `reduceScatterTensorCoalesced`. */
export function reduceScatterCoalesced(
  planning: Planning,
  { outputs, inputs, op }: RequestOf<"reduceScatterTensorCoalesced">,
): Plan {
  const { rank, size } = planning.scope;
  const targets = spansOf(planning, outputs);
  const sources = byRank(
    inputs.map((input) => equalParts(planning, input)),
    size,
  );
  const unpacked = sources.map((_, r) => (r === rank ? targets : null));
  return coalesced(planning, "reduceScatter", targets, { op }, "at once", size, {
    sources,
    targets: unpacked,
    alone: (row, context, item) => row.run(context, targets[item]!, ofItem(sources, item), op),
    together: (row, context, flats) => row.run(context, flats[rank]!, flats, op),
  });
}

/** Parts by tensor and rank, as parts by rank and tensor. */
function byRank(parts: readonly (readonly Span[])[], size: number): Span[][] {
  return Array.from({ length: size }, (_, rank) => parts.map((ofTensor) => ofTensor[rank]!));
}

/** One tensor's parts, by rank. */
function ofItem(parts: readonly (readonly Span[])[], item: number): Span[] {
  return parts.map((ofRank) => ofRank[item]!);
}

/** Where the elements of a bundle come from, and where they go. */
interface Ends {
  /** By part, and then by tensor: what is copied into the bundle's part before the call. Null: that part is not. */
  readonly sources: Parts;
  /** What the bundle's part is copied to afterwards. */
  readonly targets: Parts;
}

/** How a bundle is run: one tensor alone, where it lies, or several as one. */
interface Runs<C extends AlgorithmFamily> extends Ends {
  alone(row: Row<C>, context: Context, item: number): Late;
  /** `flats` has the elements of all tensors, by part. */
  together(row: Row<C>, context: Context, flats: readonly Span[]): Late;
}

type Parts = readonly (readonly Span[] | null)[];

/** How the elements of a bundle of several tensors come into its parts, and how they come out of them. Null: not at all. */
interface Copies {
  readonly into: readonly (Packing | null)[];
  readonly out: readonly (Packing | null)[];
}

/** Those of a bundle; null: it is one tensor, which is not copied. */
function copiesOf(executor: Executor, { sources, targets }: Ends, { items, starts }: Bundle): Copies | null {
  const packings = (parts: Parts) =>
    parts.map((spans) => {
      const ofBundle = spans && items.map((item) => spans[item]!);
      return ofBundle && executor.packing(ofBundle, starts);
    });
  return items.length > 1 ? { into: packings(sources), out: packings(targets) } : null;
}

/** The plan of a list whose tensors count as `spans` do. `parts`: how many of each bundle the call moves. */
function coalesced<C extends "allReduce" | "broadcast" | "allGather" | "reduceScatter">(
  planning: Planning,
  family: C,
  spans: readonly Span[],
  { op, root }: Pick<CallFacts, "op" | "root">,
  writes: Plan["writes"],
  parts: number,
  runs: Runs<C>,
): Plan {
  const { scope } = planning;
  const isAtHub = scope.hub === "all" && new Set(spans.map(({ dtype }) => dtype)).size <= 1;
  const bundles = bundlesOf(spans, isAtHub ? Number.POSITIVE_INFINITY : MOST_BUNDLE_BYTES);
  // The hub folds one run of elements of a call.
  const choosing = { ...planning, scope: { ...scope, hub: isAtHub ? scope.hub : ("none" as const) } };
  const bytesOf = ({ dtype, count }: Bundle) => count * bytesPerElement(dtype) * parts;
  const rows = bundles.map((bundle) => choose(choosing, family, { op, bytes: bytesOf(bundle) }));
  const copies = bundles.map((bundle) => copiesOf(scope.executor, runs, bundle));
  const runIn = (context: Context) => (bundle: Bundle, index: number) => {
    const row = rows[index]!;
    const together = (flats: readonly Span[]) => runs.together(row, context, flats);
    const ofBundle = copies[index];
    return ofBundle ? bundled(context, bundle, ofBundle, together) : runs.alone(row, context, bundle.items[0]!);
  };
  return plan(
    planning,
    combined(rows),
    { ...factsOf(spans), op, root },
    writes,
    (context) => inTurn(context, bundles, runIn(context)),
    Math.max(0, ...bundles.map(bytesOf)),
  );
}

function factsOf(spans: readonly Span[]): CallFacts {
  const count = spans.reduce((total, span) => total + span.count, 0);
  return { dtype: spans[0]?.dtype, count, detail: spans.map(({ dtype, count }) => `${dtype} ${count}`).join() };
}

/** One row in place of all: their names, and the most scratch of any. */
function combined<C extends AlgorithmFamily>(rows: readonly Row<C>[]) {
  const [first] = rows;
  const needs = rows.every((row) => row.needs === first?.needs) ? first?.needs : undefined;
  const scratch = (size: number) => Math.max(0, ...rows.map((row) => row.scratch?.(size) ?? 0));
  return { algorithm: rows.map(({ algorithm }) => algorithm).join(), scratch, ...(needs && { needs }) };
}

/** Tensors in the order of the list, with those of one dtype together. Each begins at a whole word, as a GPU's copies do. */
function bundlesOf(spans: readonly Span[], mostBytes: number): Bundle[] {
  interface Open {
    dtype: DataType;
    items: number[];
    starts: number[];
    count: number;
  }
  const bundles: Open[] = [];
  const open = new Map<DataType, Open>();
  spans.forEach(({ dtype, count }, item) => {
    const width = bytesPerElement(dtype);
    let bundle = open.get(dtype);
    if (!bundle || (bundle.count + count) * width > mostBytes) {
      bundle = { dtype, items: [], starts: [], count: 0 };
      open.set(dtype, bundle);
      bundles.push(bundle);
    }
    const perWord = Math.max(1, 4 / width);
    const start = Math.ceil(bundle.count / perWord) * perWord;
    bundle.items.push(item);
    bundle.starts.push(start);
    bundle.count = start + count;
  });
  return bundles;
}

/** Runs `run` on one bundle after the other. In a region nobody begins the next one before all have ended this one. */
function inTurn(
  context: Context,
  bundles: readonly Bundle[],
  run: (bundle: Bundle, index: number) => Late,
  index = 0,
): Late {
  const bundle = bundles[index];
  if (!bundle) return undefined;
  const step = () => (index + 1 < bundles.length ? context.region?.step() : undefined);
  return after(after(run(bundle, index), step), () => inTurn(context, bundles, run, index + 1));
}

/** Lends `body` scratch for each part of a bundle, with the elements that `into` puts there; afterwards `out` takes what `body` has left. */
function bundled(
  { executor }: Context,
  { dtype, count }: Bundle,
  { into, out }: Copies,
  body: (flats: readonly Span[]) => Late,
): Late {
  const perWord = Math.max(1, 4 / bytesPerElement(dtype));
  const stride = Math.ceil(count / perWord) * perWord;
  const scratch = executor.scratch(dtype, stride * into.length);
  const flats = into.map((_, part) => executor.slice(scratch, part * stride, count));
  let late: Late;
  try {
    for (let part = 0; part < into.length; part++) into[part]?.pack(flats[part]!);
    late = after(body(flats), () => {
      for (let part = 0; part < out.length; part++) out[part]?.unpack(flats[part]!);
      return undefined;
    });
  } finally {
    if (!late) executor.release(scratch);
  }
  return late?.finally(() => executor.release(scratch));
}
