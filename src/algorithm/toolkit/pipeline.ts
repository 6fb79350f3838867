/**
 * What keeps several segments in flight, and the few steps that most algorithms are made of.
 *
 * A tensor is cut into *stripes*: stripe j is segment j of every rank's chunk. Each stripe runs an algorithm's textbook
 * loop by itself, in its own slot of the exchange, and `segmentsInFlight` stripes run at once. Every rank starts the
 * stripes in the same order, so the first one that is unfinished anywhere is running on every rank that still has to
 * work on it: a stripe never waits for a later one.
 */
import type { Executor, Span } from "../../executor/executor.ts";
import { changesInputs, type ReduceOp } from "../../reduce-op.ts";
import type { DataType } from "../../types.ts";
import { type Context, recv, recvReduce, send } from "../context.ts";
import { elementsPerSegment, partition, segmentRange } from "./partition.ts";

/** Runs `body(0)` … `body(length - 1)`, started in this order, `segmentsInFlight` at once. */
export async function pipelined(
  context: Context,
  length: number,
  body: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const lane = async () => {
    try {
      while (next < length) await body(next++);
    } catch (error) {
      next = length;
      throw error;
    }
  };
  await Promise.all(Array.from({ length: Math.min(length, context.segmentsInFlight) }, lane));
}

/** Gives a chunk's segment in one stripe; it is empty where the chunk is shorter than others. */
export type Cut = (chunk: Span) => Span;

/** Runs `body` on every stripe of `chunks`, which have one dtype. Nothing runs if all are empty. */
export function inStripes(
  context: Context,
  chunks: readonly Span[],
  body: (cut: Cut, slot: number) => Promise<void>,
): Promise<void> {
  const perSegment = elementsPerSegment(context.segmentBytes, chunks[0]!.dtype);
  const longest = Math.max(...chunks.map((chunk) => chunk.count));
  return pipelined(context, Math.ceil(longest / perSegment), (stripe) => {
    const cut: Cut = (chunk) => {
      const { start, count } = segmentRange(chunk.count, stripe, perSegment);
      return context.executor.slice(chunk, start, count);
    };
    return body(cut, stripe);
  });
}

/** Every rank's chunk of a tensor that all ranks have. */
export function chunksOf(context: Context, tensor: Span): Span[] {
  return partition(tensor.count, context.size, tensor.dtype).map(({ start, count }) =>
    context.executor.slice(tensor, start, count),
  );
}

/** Lends scratch of these counts to `body`. */
export async function withScratch(
  executor: Executor,
  dtype: DataType,
  counts: readonly number[],
  body: (scratch: readonly Span[]) => Promise<void>,
): Promise<void> {
  const scratch = counts.map((count) => executor.scratch(dtype, count));
  try {
    await body(scratch);
  } finally {
    for (const span of scratch) executor.release(span);
  }
}

/** Lends `inputs` to `body` as `op` wants them before a fold. They keep their elements. */
export async function withPrepared(
  { executor, size }: Context,
  inputs: readonly Span[],
  op: ReduceOp,
  body: (prepared: readonly Span[]) => Promise<void>,
): Promise<void> {
  if (!changesInputs(op, inputs[0]!.dtype)) return body(inputs);
  const prepared = inputs.map((input) => executor.prepared(op, input, size));
  try {
    await body(prepared);
  } finally {
    for (const span of prepared) executor.release(span);
  }
}

/**
 * Rank r's `output` becomes the fold of every rank's `inputs[r]`. `inputs` has one span per rank, their lengths the
 * same on all ranks, and is not changed; `output` may be `inputs[rank]` itself.
 */
export type ReduceScatter = (context: Context, output: Span, inputs: readonly Span[], op: ReduceOp) => Promise<void>;

/** The reduce-scatter that does `reduceStripe` to one stripe after the other, its inputs prepared. */
export function reduceScatterBy(
  reduceStripe: (...args: [...Parameters<ReduceScatter>, slot: number]) => Promise<void>,
): ReduceScatter {
  return (context, output, inputs, op) =>
    inStripes(context, inputs, (cut, slot) =>
      withPrepared(context, inputs.map(cut), op, (segments) => reduceStripe(context, cut(output), segments, op, slot)),
    );
}

/** Makes what `op` wants before a fold of `span` its elements. */
export function prepareInPlace({ executor, size }: Context, span: Span, op: ReduceOp): void {
  executor.copy(span, executor.prepare(op, span, size));
}

/** Sends one segment and receives another, at the same time. An empty one is no message: both sides know its length. */
export async function sendRecv(
  context: Context,
  to: number,
  outgoing: Span,
  from: number,
  incoming: Span,
  slot: number,
): Promise<void> {
  await Promise.all([
    outgoing.count > 0 && send(context, to, outgoing, slot),
    incoming.count > 0 && recv(context, from, incoming, slot),
  ]);
}

/** target = what `peer` gave and what is this rank's, folded; the lower rank's is the left operand. */
export function reducePair(context: Context, op: ReduceOp, target: Span, peer: number, theirs: Span, mine: Span): void {
  if (target.count === 0) return;
  if (peer < context.rank) context.executor.reduce(op, target, theirs, mine);
  else context.executor.reduce(op, target, mine, theirs);
}

/**
 * Sends a span of any length to `peer`, in slots 0, 1, …. The last message is always shorter than a full segment, and
 * empty if need be, so a receiver that expects another length gets a message of the wrong length, whatever the lengths.
 */
export function sendSpan(context: Context, peer: number, span: Span): Promise<void> {
  return untilShort(context, span, (segment, slot) => send(context, peer, segment, slot));
}

/** Receives from `peer` what {@link sendSpan} sends. */
export function recvSpan(context: Context, peer: number, span: Span): Promise<void> {
  return untilShort(context, span, (segment, slot) => recv(context, peer, segment, slot));
}

/** Receives from `peer` what {@link sendSpan} sends, and folds it into `span` as `recvReduce` does. */
export function recvReduceSpan(context: Context, peer: number, span: Span, op: ReduceOp): Promise<void> {
  return untilShort(context, span, (segment, slot) =>
    segment.count > 0 ? recvReduce(context, peer, segment, op, slot) : recv(context, peer, segment, slot),
  );
}

/** Runs `move` on each segment of a span; the last is shorter than the others, and may be empty. */
function untilShort(context: Context, span: Span, move: MoveSegment): Promise<void> {
  const perSegment = elementsPerSegment(context.segmentBytes, span.dtype);
  return inSegments(context, span, Math.floor(span.count / perSegment) + 1, move);
}

/** Sends or receives one segment in its slot. */
export type MoveSegment = (segment: Span, slot: number) => Promise<void>;

/** Runs `move` on the first `total` segments of a span, each in its own slot, a few at once. A segment behind its end is empty. */
export function inSegments(context: Context, span: Span, total: number, move: MoveSegment): Promise<void> {
  const perSegment = elementsPerSegment(context.segmentBytes, span.dtype);
  return pipelined(context, total, (slot) => {
    const { start, count } = segmentRange(span.count, slot, perSegment);
    return move(context.executor.slice(span, start, count), slot);
  });
}
