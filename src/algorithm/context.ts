/**
 * What an algorithm is given: its rank, an executor's memory, and the messages of this one collective.
 *
 * An algorithm is a free function `(context, spans, options) => Promise<void>`. It never sees a tensor, a socket or a
 * frame, and it never keeps a byte after it returns.
 */
import type { Executor, SharedExecutor, Span } from "../executor/executor.ts";
import type { ReduceOp } from "../reduce-op.ts";
import type { SharedRegion } from "../transport/shared-region.ts";
import type { Exchange } from "../transport/transport.ts";

/** A region, and the executor whose memory it is in. */
export interface Shared {
  readonly region: SharedRegion;
  readonly executor: SharedExecutor;
}

/** One collective on one rank. */
export interface Context {
  readonly rank: number;
  readonly size: number;
  readonly executor: Executor;
  readonly exchange: Exchange;
  /** What the ranks share beyond messages; null unless all are threads of one job. */
  readonly shared: Shared | null;
  /** Most bytes of one message; a larger piece is cut into segments. The same on every rank. */
  readonly segmentBytes: number;
  /** How many segments are in flight at once, at least 2. */
  readonly segmentsInFlight: number;
}

/** Sends the contents of `span` to `peer` as one message. Resolves when the span may be overwritten. */
export async function send(context: Context, peer: number, span: Span, slot = 0): Promise<void> {
  const lease = await context.executor.read(span);
  try {
    await context.exchange.send(peer, lease.bytes, slot);
  } finally {
    lease.release();
  }
}

/** Receives one message from `peer` into `span`. */
export async function recv(context: Context, peer: number, span: Span, slot = 0): Promise<void> {
  const lease = context.executor.receive(span);
  try {
    await context.exchange.recv(peer, lease.bytes, slot);
  } catch (error) {
    lease.release();
    throw error;
  }
  await context.executor.write(span, lease);
}

/**
 * Receives one message from `peer` and folds it into `span`. The lower rank is the left operand; `span` counts as this
 * rank's side, the message as `peer`'s.
 */
export async function recvReduce(context: Context, peer: number, span: Span, op: ReduceOp, slot = 0): Promise<void> {
  const { executor } = context;
  const incoming = executor.scratch(span.dtype, span.count);
  try {
    await recv(context, peer, incoming, slot);
    if (peer < context.rank) executor.reduce(op, span, incoming, span);
    else executor.reduce(op, span, span, incoming);
  } finally {
    executor.release(incoming);
  }
}
