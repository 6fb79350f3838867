/**
 * What an algorithm is given: its rank, an executor's memory, and the messages of this one collective.
 *
 * An algorithm is a free function `(context, spans, options) => Promise<void>`. It never sees a tensor, a socket or a
 * frame, and it never keeps a byte after it returns.
 */

import type { Executor, Handle, Span } from "../executor/executor.ts";
import type { Exchange, HubReduction } from "../link/link.ts";
import type { ReduceOp } from "../reduce-op.ts";
import type { Region } from "../region/region.ts";
import { now } from "../support/clock.ts";

/** One step of a message on its way, for tests and benchmarks. Times are `performance.now()`. */
export interface Transfer {
  /** Out of an executor's memory, or to a peer. */
  readonly step: "read" | "send";
  readonly slot: number;
  readonly start: number;
  readonly end: number;
}

/** One collective on one rank. */
export interface Context {
  readonly rank: number;
  readonly size: number;
  readonly executor: Executor;
  readonly exchange: Exchange;
  /** What the ranks have beyond messages; null where they have messages alone. */
  readonly region: Region | null;
  /** For algorithms that select.ts says need it; null for all others. */
  readonly hub: HubReduction | null;
  /** Most bytes of one message; a larger piece is cut into segments. The same on every rank. */
  readonly segmentBytes: number;
  /** How many segments are in flight at once, at least 2. */
  readonly segmentsInFlight: number;
  /** Hears of each step as it ends. */
  readonly onTransfer?: ((transfer: Transfer) => void) | undefined;
}

/**
 * Sends the contents of `span` to `peer` as one message. Resolves when the span may be overwritten. Where there are no
 * bytes to wait for, the message is with its link when this returns.
 */
export async function send(context: Context, peer: number, span: Span, slot = 0): Promise<void> {
  const { executor, exchange } = context;
  const memory = executor.handleMemory;
  if (memory && exchange.takesHandles(peer)) {
    const { byteLength } = span;
    return exchange.sendHandle(peer, { byteLength, memory, span, read: () => executor.read(span) }, slot);
  }
  const read = traced(context, "read", slot, () => executor.read(span));
  const lease = read instanceof Promise ? await read : read;
  try {
    await traced(context, "send", slot, () => exchange.send(peer, lease.bytes, slot));
  } finally {
    lease.release();
  }
}

/** Runs a step, and tells of it where somebody listens. */
function traced<T>(
  { onTransfer }: Context,
  step: Transfer["step"],
  slot: number,
  run: () => T | Promise<T>,
): T | Promise<T> {
  if (!onTransfer) return run();
  const start = now();
  return Promise.resolve(run()).then((result) => {
    onTransfer({ step, slot, start, end: now() });
    return result;
  });
}

/** Receives one message from `peer` into `span`. */
export async function recv(context: Context, peer: number, span: Span, slot = 0): Promise<void> {
  const { executor, exchange } = context;
  const lease = executor.receive(span);
  let adopted = false;
  const adopt = (handle: Handle) => {
    adopted = handle.memory === executor.handleMemory;
    if (adopted) executor.copy(span, handle.span);
    return adopted;
  };
  try {
    await exchange.recv(peer, lease.bytes, slot, adopt);
  } catch (error) {
    lease.release();
    throw error;
  }
  if (adopted) lease.release();
  else await executor.write(span, lease);
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

/** Comes to `slot` at the hub with `part`, and takes what comes of all parts into `into`, which may be `part`. */
export async function combine(context: Context, slot: number, part: Span | null, into: Span | null): Promise<void> {
  const { executor, hub } = context;
  const outgoing = part ? await executor.read(part) : null;
  const incoming = into ? executor.receive(into) : null;
  try {
    await hub!.combine(slot, outgoing?.bytes ?? null, incoming?.bytes ?? null);
  } catch (error) {
    incoming?.release();
    throw error;
  } finally {
    outgoing?.release();
  }
  if (into && incoming) await executor.write(into, incoming);
}
