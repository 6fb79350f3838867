/**
 * The direct backend: webccl's own algorithms over a channel and an executor.
 */
import { type Context, recv, send } from "../algorithm/context.ts";
import { elementsPerSegment, segmentRange } from "../algorithm/partition.ts";
import { pipelined } from "../algorithm/pipeline.ts";
import { AbortedError, type WebcclError } from "../errors.ts";
import type { Executor, Span } from "../executor/executor.ts";
import type { Channel } from "../transport/channel.ts";
import type { ChannelExchange } from "../transport/exchange.ts";
import type { Backend, Call, Request } from "./backend.ts";

import { messageFingerprint, type Plan, type PlanScope, planCollective } from "./plan.ts";
import type { Region } from "./region.ts";

/** What a direct backend is made with. */
export interface DirectOptions {
  channel: Channel;
  executor: Executor;
  /** The slowest kind of link in the group. */
  link: PlanScope["link"];
  sameArithmetic: boolean;
  segmentBytes: number;
  segmentsInFlight: number;
  /** What the ranks share; null unless all are threads of one job. */
  region: Region | null;
  /** Called once when the backend is done with its channel. */
  onDispose(): void;
}

/** Runs collectives of one group. */
export class DirectBackend implements Backend {
  readonly name = "direct";
  readonly #options: DirectOptions;
  readonly #scope: PlanScope;

  constructor(options: DirectOptions) {
    const { channel, executor, link, sameArithmetic, segmentBytes } = options;
    this.#options = options;
    this.#scope = { executor, link, sameArithmetic, segmentBytes, rank: channel.rank, size: channel.size };
  }

  run(request: Request, call: Call): Promise<number | undefined> | undefined {
    const { executor, region } = this.#options;
    switch (request.collective) {
      case "send":
        return this.#send(executor.span(request.tensor), request.peer, request.tag, call);
      case "recv":
        return this.#recv("recv", executor.span(request.tensor), request.peer, request.tag, call);
      case "recvAnySource":
        return this.#recv("recvAnySource", executor.span(request.tensor), null, request.tag, call);
      default: {
        const plan = planCollective(request, call, this.#scope);
        return region ? this.#inRegion(region, plan, call) : this.#collective(plan, call);
      }
    }
  }

  stragglers(sequence: number): Promise<number[]> {
    return this.#options.channel.stragglers(sequence);
  }

  withdraw(sequence: number, reason: WebcclError): boolean {
    return this.#options.channel.pointToPoint.withdraw(sequence, reason);
  }

  abort(cause: WebcclError): void {
    this.#options.channel.abort(cause);
  }

  async dispose(): Promise<void> {
    this.#options.onDispose();
  }

  async #collective(plan: Plan, call: Call): Promise<undefined> {
    const { channel, executor } = this.#options;
    const exchange = channel.open(call.sequence, plan.fingerprint);
    try {
      const done = plan.run(this.#context(exchange));
      await Promise.all([done, channel.agree(exchange)]);
      await executor.settled();
    } catch (error) {
      call.overwritten = plan.writes === "at once" || (plan.writes !== "no" && exchange.traffic.messagesReceived > 0);
      throw this.#failed(exchange, error);
    } finally {
      channel.close(exchange, false);
    }
  }

  /**
   * Runs the call when those before it are done. One that is all messages makes the step that compares the calls first.
   * A short call whose ranks come together ends in here, without a promise.
   */
  #inRegion(region: Region, plan: Plan, call: Call): Promise<undefined> | undefined {
    const { channel } = this.#options;
    if (channel.dead) return Promise.reject(channel.dead);
    const exchange = channel.open(call.sequence, plan.fingerprint);
    let running: Promise<void> | undefined;
    try {
      running = region.begin(channel, exchange)?.then(() => this.#begun(region, plan, exchange));
      running ??= this.#begun(region, plan, exchange);
    } catch (error) {
      running = Promise.reject(error);
    }
    if (running) return this.#ending(running, region, plan, exchange, call);
    region.end();
    channel.close(exchange, true);
    return undefined;
  }

  #begun(region: Region, plan: Plan, exchange: ChannelExchange): Promise<void> | undefined {
    const context = this.#context(exchange);
    const late = plan.inRegion ? undefined : region.step();
    return late ? late.then(() => plan.run(context)) : plan.run(context);
  }

  async #ending(
    running: Promise<void>,
    region: Region,
    plan: Plan,
    exchange: ChannelExchange,
    call: Call,
  ): Promise<undefined> {
    try {
      await running;
    } catch (error) {
      call.overwritten = plan.writes !== "no" && region.agreed;
      throw this.#failed(exchange, error);
    } finally {
      region.end();
      this.#options.channel.close(exchange, true);
    }
  }

  async #send(span: Span, peer: number, tag: number, call: Call): Promise<undefined> {
    const { channel } = this.#options;
    const exchange = channel.pointToPoint.open(peer, messageFingerprint("send", span, tag));
    try {
      await this.#segments(span, (context, segment, slot) => send(context, peer, segment, slot), exchange);
    } catch (error) {
      call.overwritten = false;
      throw this.#failed(exchange, error);
    } finally {
      channel.pointToPoint.closeOutgoing(peer, exchange);
    }
  }

  async #recv(
    collective: "recv" | "recvAnySource",
    span: Span,
    peer: number | null,
    tag: number,
    call: Call,
  ): Promise<number> {
    const { channel, executor } = this.#options;
    const fingerprint = messageFingerprint(collective, span, tag);
    const { exchange, source } = await channel.pointToPoint.match(call.sequence, peer, fingerprint);
    try {
      await this.#segments(span, (context, segment, slot) => recv(context, source, segment, slot), exchange);
      await executor.settled();
      return source;
    } catch (error) {
      call.overwritten = exchange.traffic.messagesReceived > 0;
      throw this.#failed(exchange, error);
    } finally {
      channel.pointToPoint.closeIncoming(source, exchange);
    }
  }

  /** Runs `transfer` on each segment of a message in its own slot, a few at once; an empty message is one empty segment. */
  async #segments(
    span: Span,
    transfer: (context: Context, segment: Span, slot: number) => Promise<void>,
    exchange: ChannelExchange,
  ): Promise<void> {
    const { executor, segmentBytes } = this.#options;
    const context = this.#context(exchange);
    const perSegment = elementsPerSegment(segmentBytes, span.dtype);
    const total = Math.max(1, Math.ceil(span.count / perSegment));
    await pipelined(context, total, (index) => {
      const { start, count } = segmentRange(span.count, index, perSegment);
      return transfer(context, executor.slice(span, start, count), index);
    });
  }

  #context(exchange: ChannelExchange): Context {
    const { channel, executor, region, segmentBytes, segmentsInFlight } = this.#options;
    const shared = region && { region, executor: region.executor };
    return { rank: channel.rank, size: channel.size, executor, exchange, shared, segmentBytes, segmentsInFlight };
  }

  /** What the call rejects with. A fault of this rank alone, such as a custom operation that throws, kills the group. */
  #failed(exchange: ChannelExchange, error: unknown): unknown {
    if (exchange.error) return exchange.error;
    const { channel } = this.#options;
    const text = error instanceof Error ? error.message : String(error);
    const cause = new AbortedError(`group "${channel.name}": rank ${channel.rank} failed: ${text}`, {
      group: channel.name,
      cause: error,
    });
    channel.abort(cause);
    return cause;
  }
}
