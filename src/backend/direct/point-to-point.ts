/**
 * The direct backend's point-to-point messages.
 *
 * Messages begin in the order of their calls. The executor admits a message's span before its first byte; one that it
 * refuses has not happened: the call rejects, its peer goes on waiting for the next message, and the group is whole.
 */
import { type Context, recv, send } from "../../algorithm/context.ts";
import { elementsPerSegment } from "../../algorithm/toolkit/partition.ts";
import { inSegments, type MoveSegment } from "../../algorithm/toolkit/pipeline.ts";
import { UnsupportedError, WebcclError } from "../../errors.ts";
import type { Admission, Executor, Span } from "../../executor/executor.ts";
import type { MessageRequest } from "../../request.ts";
import { InOrder } from "../../support/in-order.ts";
import type { Fingerprint } from "../../wire/frame.ts";
import type { Call } from "../backend.ts";
import { messageFingerprint } from "./call-facts.ts";
import { failureOf, faultOf, flowOf, type GroupScope, surroundings } from "./group-scope.ts";

/** See the file's head. */
export class Messages {
  readonly #scope: GroupScope;
  readonly #starts = new InOrder();
  /** Receives that are not yet admitted, with the reason of those that were given up. */
  readonly #unadmitted = new Map<number, WebcclError | null>();

  constructor(scope: GroupScope) {
    this.#scope = scope;
  }

  /** Resolves to the source rank of a receive, to undefined for a send. */
  run(request: MessageRequest, executor: Executor, call: Call): Promise<number | undefined> {
    const span = executor.span(request.tensor);
    const admitted = executor.admit(
      [span],
      null,
      flowOf(this.#scope, { longestBytes: span.byteLength, scratch: 0 }, 1),
    );
    const { collective, tag } = request;
    const fingerprint = messageFingerprint(collective, span, tag);
    if (collective === "send") {
      return this.#inOrder(admitted, (segments) => this.#send(executor, span, segments, request.peer, fingerprint));
    }
    const source = collective === "recv" ? request.peer : null;
    this.#unadmitted.set(call.sequence, null);
    const received = this.#inOrder(admitted, (segments) => {
      const reason = this.#unadmitted.get(call.sequence);
      this.#unadmitted.delete(call.sequence);
      return reason ? Promise.reject(reason) : this.#recv(executor, span, segments, source, fingerprint, call);
    });
    if (this.#unadmitted.has(call.sequence)) received.catch(() => this.#unadmitted.delete(call.sequence));
    return received;
  }

  /** Gives up receive `sequence` if no message has met it. */
  withdraw(sequence: number, reason: WebcclError): boolean {
    if (!this.#unadmitted.has(sequence)) return this.#scope.channel.pointToPoint.withdraw(sequence, reason);
    this.#unadmitted.set(sequence, reason);
    return true;
  }

  /** Starts a message when it is admitted and those before it have started. */
  #inOrder<T>(admitted: Admission, start: (segments: number | undefined) => Promise<T>): Promise<T> {
    // An error that is not the caller's mistake, such as a lost device, is the end of the group.
    admitted?.catch((error: unknown) => {
      if (error instanceof WebcclError && !(error instanceof UnsupportedError)) this.#scope.channel.abort(error);
    });
    return this.#starts.run(admitted, start);
  }

  async #send(
    executor: Executor,
    span: Span,
    segments: number | undefined,
    peer: number,
    fingerprint: Fingerprint,
  ): Promise<undefined> {
    const { channel } = this.#scope;
    const exchange = channel.pointToPoint.open(peer, fingerprint);
    try {
      const context = { ...surroundings(this.#scope, executor, segments), exchange, hub: null };
      await eachSegment(context, span, (segment, slot) => send(context, peer, segment, slot));
    } catch (error) {
      throw failureOf(this.#scope, exchange, await faultOf(executor, [span], error));
    } finally {
      channel.pointToPoint.closeOutgoing(peer, exchange);
    }
  }

  async #recv(
    executor: Executor,
    span: Span,
    segments: number | undefined,
    peer: number | null,
    fingerprint: Fingerprint,
    call: Call,
  ): Promise<number> {
    const { channel } = this.#scope;
    const { exchange, source } = await channel.pointToPoint.match(call.sequence, peer, fingerprint);
    try {
      const context = { ...surroundings(this.#scope, executor, segments), exchange, hub: null };
      await eachSegment(context, span, (segment, slot) => recv(context, source, segment, slot));
      await executor.settled();
      return source;
    } catch (error) {
      call.overwritten = exchange.hasWritten;
      throw failureOf(this.#scope, exchange, await faultOf(executor, [span], error));
    } finally {
      channel.pointToPoint.closeIncoming(source, exchange);
    }
  }
}

/** Runs `move` on each segment of a message, whose length both sides know; an empty message is one empty segment. */
function eachSegment(context: Context, span: Span, move: MoveSegment): Promise<void> {
  const total = Math.ceil(span.count / elementsPerSegment(context.segmentBytes, span.dtype));
  return inSegments(context, span, Math.max(1, total), move);
}
