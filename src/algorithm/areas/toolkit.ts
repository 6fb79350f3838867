/**
 * What the algorithms over areas have in common. They put into their rank's area what others need, make a step, and
 * get from the others' areas what they need themselves, straight to where it is wanted.
 */

import type { Span } from "../../executor/executor.ts";
import { changesInputs, type ReduceOp } from "../../reduce-op.ts";
import type { Areas } from "../../region/region.ts";
import { bytesPerElement, type DataType } from "../../types.ts";
import type { Context } from "../context.ts";
import { CHUNK_ALIGNMENT_BYTES, segmentRange } from "../toolkit/partition.ts";

/** The region of ranks that have areas; select.ts gives the algorithms over it to no other group. */
export function areasOf({ region }: Context): Areas {
  if (region?.kind !== "areas") throw new Error("this algorithm needs ranks that have areas");
  return region;
}

/** Puts the elements of `span` at `position`. */
export function show(context: Context, position: number, span: Span): void {
  if (span.count === 0) return;
  const region = areasOf(context);
  const { executor } = region;
  const lease = executor.read(span);
  region.put(lease.bytes, position);
  lease.release();
}

/** The same of what `op` makes of them before a fold; they stay as they are. */
export function showPrepared(context: Context, position: number, span: Span, op: ReduceOp): void {
  if (span.count === 0 || !changesInputs(op, span.dtype)) {
    show(context, position, span);
    return;
  }
  const { executor } = areasOf(context);
  const prepared = executor.prepared(op, span, context.size);
  show(context, position, prepared);
  executor.release(prepared);
}

/** Gets the elements of `span` from where `rank` put them. */
export function take(context: Context, rank: number, position: number, span: Span): void {
  if (span.count === 0) return;
  const region = areasOf(context);
  const { executor } = region;
  const lease = executor.receive(span);
  region.get(lease.bytes, rank, position);
  executor.write(span, lease);
}

/**
 * target = what all ranks have put at `position`, folded in rank order; `own` stands for this rank's. `target` may be `own`,
 * which is otherwise kept.
 */
export function foldTaken(context: Context, target: Span, own: Span, position: number, op: ReduceOp): void {
  const { executor } = areasOf(context);
  const { rank, size } = context;
  const { dtype, count } = own;
  if (count === 0) return;
  const changes = changesInputs(op, dtype);
  const operands: Span[] = [];
  try {
    for (let r = 0; r < size; r++) {
      const operand = r !== rank ? executor.scratch(dtype, count) : changes ? executor.prepared(op, own, size) : own;
      operands.push(operand);
      if (r !== rank) take(context, r, position, operand);
    }
    executor.reduceMany(op, target, operands);
    executor.finish(op, target, size);
  } finally {
    for (const operand of operands) if (operand !== own) executor.release(operand);
  }
}

/** An area cut into a place for each rank: where rank r's begins, and how many elements it has room for. */
export function placesIn(context: Context, dtype: DataType): { bytes: number; count: number } {
  const bytes = Math.floor(areasOf(context).areaBytes / context.size / CHUNK_ALIGNMENT_BYTES) * CHUNK_ALIGNMENT_BYTES;
  return { bytes, count: bytes / bytesPerElement(dtype) };
}

/**
 * Elements of a segment of tensors that are only copied, the longest of which has `count`: as few segments as fit an area.
 * Two ranks take two at least from half an area on, so that one puts while the other gets; for more, a step costs more.
 */
export function perSegmentOf(context: Context, dtype: DataType, count: number): number {
  const perArea = Math.floor(areasOf(context).areaBytes / bytesPerElement(dtype));
  const fewest = context.size === 2 && count > perArea / 2 ? 2 : 1;
  const perLine = CHUNK_ALIGNMENT_BYTES / bytesPerElement(dtype);
  return Math.ceil(count / Math.max(fewest, Math.ceil(count / perArea)) / perLine) * perLine;
}

/**
 * Runs `before`, a step, and `after` for each segment of up to `perSegment` elements that any of `spans` has; `cut` gives a
 * span's part of it. There is one step if all are empty.
 */
export async function inSegments(
  context: Context,
  spans: readonly Span[],
  perSegment: number,
  before: (cut: (span: Span) => Span) => unknown,
  after: (cut: (span: Span) => Span) => unknown,
): Promise<void> {
  const region = areasOf(context);
  const { executor } = region;
  const longest = Math.max(...spans.map(({ count }) => count));
  for (let index = 0; index === 0 || index * perSegment < longest; index++) {
    const cut = (span: Span) => {
      const { start, count } = segmentRange(span.count, index, perSegment);
      return executor.slice(span, start, count);
    };
    before(cut);
    const late = region.step();
    if (late) await late;
    after(cut);
    const pause = region.breathe();
    if (pause) await pause;
  }
}
