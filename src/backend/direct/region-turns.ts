/**
 * Turns in a region: the calls of a group that has a region run one after the other, in the order in which they were made, which is the
 * same on every rank. A short call whose ranks come together ends without a promise.
 */
import type { Context } from "../../algorithm/context.ts";
import type { Admission, Executor } from "../../executor/executor.ts";
import type { Channel } from "../../messaging/channel.ts";
import type { ChannelExchange } from "../../messaging/exchange.ts";
import type { HubCall } from "../../messaging/hub-folds.ts";
import type { SteppingCall, Steps } from "../../region/steps.ts";
import { now } from "../../support/clock.ts";
import { Lane } from "../../support/in-order.ts";
import type { Late } from "../../support/late.ts";
import type { Pace } from "../../support/pace.ts";
import type { Fingerprint } from "../../wire/frame.ts";
import type { Call } from "../backend.ts";
import { failureOf, foldsOf, type GroupScope, surroundings } from "./group-scope.ts";
import { isOfHub, type Plan } from "./planning.ts";

/** See the file's head. */
export class RegionTurns {
  readonly #scope: GroupScope;
  readonly #steps: Steps;
  readonly #pace: Pace;
  readonly #lane = new Lane();
  /** The call whose turn it is. */
  #turn: Turn | null = null;
  /** The last call's, if it had no folds at the hub. */
  #context: Context | null = null;

  /** `steps` are the region's. */
  constructor(scope: GroupScope, steps: Steps, pace: Pace) {
    this.#scope = scope;
    this.#steps = steps;
    this.#pace = pace;
  }

  /** Runs a call of this rank when those before it are done. One that is all messages makes the step that compares the calls first. */
  run(plan: Plan, admitted: Admission, call: Call): Promise<undefined> | undefined {
    const { executor } = plan;
    const { channel } = this.#scope;
    if (channel.dead) return Promise.reject(channel.dead);
    try {
      channel.enter(call.sequence);
    } catch (error) {
      return this.sitOut().then(() => Promise.reject(error));
    }
    const turn = new Turn(channel, call.sequence, plan.fingerprint);
    const folds = isOfHub(plan) ? foldsOf(this.#scope, plan, turn.exchange) : null;
    const context = folds
      ? { ...surroundings(this.#scope, executor), exchange: turn.exchange, hub: folds }
      : this.#contextOf(executor);
    let running: Late;
    try {
      const later = this.#begin(turn, call.started);
      if (later) call.began = Number.NaN;
      const ready = later ? later.then(() => begins(call, admitted)) : admitted;
      running = ready ? ready.then(() => this.#begun(plan, context)) : this.#begun(plan, context);
    } catch (error) {
      running = Promise.reject(error);
    }
    if (running) return this.#ending(running, turn, plan, folds, call);
    folds?.close();
    this.#lane.leave();
    turn.close();
    return undefined;
  }

  #begun(plan: Plan, context: Context): Late {
    const late = plan.needs === "region" ? undefined : this.#steps.step();
    return late ? late.then(() => plan.run(context)) : plan.run(context);
  }

  async #ending(running: Promise<void>, turn: Turn, plan: Plan, folds: HubCall | null, call: Call): Promise<undefined> {
    const { exchange } = turn;
    try {
      await running;
    } catch (error) {
      call.overwritten = plan.writes !== "no" && this.#turn === turn && this.#steps.agreed;
      throw failureOf(this.#scope, exchange, error);
    } finally {
      folds?.close();
      if (turn.sittingOut) void turn.sittingOut.then(() => this.#lane.leave());
      else this.#lane.leave();
      this.#scope.channel.close(exchange, true);
    }
  }

  /** Where calls take turns, one context serves them all. */
  #contextOf(executor: Executor): Context {
    if (this.#context?.executor !== executor) {
      const exchangeInTurn = () => this.#turn!.exchange;
      this.#context = {
        ...surroundings(this.#scope, executor),
        hub: null,
        get exchange() {
          return exchangeInTurn();
        },
      };
    }
    return this.#context;
  }

  /** Begins a call that this rank made at a time; if that cannot be yet, resolves when it has. */
  #begin(turn: Turn, time: number): Late {
    const waiting = this.#lane.enter();
    if (waiting || this.#steps.isOpen || this.#pace.isDue(time)) return this.#beginLater(turn, waiting);
    this.#start(turn);
    return undefined;
  }

  async #beginLater(turn: Turn, waiting: Late): Promise<void> {
    // From here on the call may be told of as one that waits.
    const { exchange } = turn;
    await waiting;
    try {
      await this.#steps.closed(turn);
    } catch (error) {
      // It rejects at once. The other ranks come to its first step all the same, and this one does before its next call.
      if (!this.#scope.channel.dead) turn.sittingOut = this.#skipWhenClosed();
      throw error;
    }
    if (this.#pace.isDue(now())) await this.#pace.turn();
    if (exchange.error) {
      if (!this.#scope.channel.dead) this.#steps.skip();
      throw exchange.error;
    }
    this.#start(turn);
  }

  #start(turn: Turn): void {
    this.#turn = turn;
    this.#steps.begin(turn);
  }

  /**
   * This rank does not make a call that others may have begun: it cannot, or the call's verdict is known already. It comes to
   * their first step all the same, when it is the call's turn.
   */
  async sitOut(): Promise<void> {
    await this.#lane.enter();
    await this.#skipWhenClosed();
    this.#lane.leave();
  }

  async #skipWhenClosed(): Promise<void> {
    await this.#steps.closed();
    if (!this.#scope.channel.dead) this.#steps.skip();
  }
}

/** The call's turn has come. */
function begins(call: Call, admitted: Admission): Admission {
  call.began = now();
  return admitted;
}

/**
 * One call, which the channel has let enter. Its exchange is opened before anything is awaited, and by whoever asks for it.
 * Most calls end before that, and to open an exchange and to close it takes longer than to run them.
 */
class Turn implements SteppingCall {
  readonly fingerprint: Fingerprint;
  /** Resolves when this rank has sat out the call, which failed before its turn came. */
  sittingOut: Promise<void> | null = null;
  readonly #channel: Channel;
  readonly #sequence: number;
  #exchange: ChannelExchange | null;

  constructor(channel: Channel, sequence: number, fingerprint: Fingerprint) {
    this.#channel = channel;
    this.fingerprint = fingerprint;
    this.#sequence = sequence;
    this.#exchange = channel.hasHeardOf(sequence) ? channel.open(sequence, fingerprint) : null;
  }

  /** The call's messages. */
  get exchange(): ChannelExchange {
    this.#exchange ??= this.#channel.open(this.#sequence, this.fingerprint);
    return this.#exchange;
  }

  get error(): Error | null {
    return this.exchange.error;
  }

  watch(wait: Parameters<SteppingCall["watch"]>[0]): () => void {
    return this.exchange.watch(wait);
  }

  hear(rank: number, call: Fingerprint): void {
    this.exchange.hear(rank, call);
  }

  disagree(ranks: readonly [number, number], calls: readonly [Fingerprint, Fingerprint]): void {
    this.#channel.onDisagreement(this.#sequence, ranks, calls);
  }

  /** The call has ended, and all ranks are known to have made the same. */
  close(): void {
    if (this.#exchange) this.#channel.close(this.#exchange, true);
  }
}
