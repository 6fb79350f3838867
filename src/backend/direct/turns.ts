/**
 * Region: what the ranks of a group share beyond messages, and the order in which its calls use it: one after the other, as
 * they are made, which is the same on every rank. What lies in it and how the ranks meet is for threads in thread-region.ts,
 * for processes of one host in area-region.ts.
 */

import type { Context } from "../../algorithm/context.ts";
import type { Admission, Executor } from "../../executor/executor.ts";
import type { Channel } from "../../messaging/channel.ts";
import type { ChannelExchange } from "../../messaging/exchange.ts";
import type { HubCall } from "../../messaging/hub-folds.ts";
import { now } from "../../support/clock.ts";
import type { Fingerprint } from "../../wire/frame.ts";
import type { Call } from "../backend.ts";
import type { CallHost } from "./call-host.ts";
import { LazyExchange } from "./lazy-exchange.ts";
import { isOfHub, type Plan, type PlanScope } from "./plan.ts";
import { RepeatedPlans } from "./plan-cache.ts";

/** The longest that a row of short calls keeps the event loop from turning, in milliseconds. */
const TURN_MS = 1;

/** Where the ranks meet. */
export interface MeetingPlace {
  /** This rank comes to the next step. True if all have come, soon; else `passed` is to be awaited. */
  arrive(): boolean;
  /** Ranks that have not come. */
  missing(): number[];
  /** Resolves when all have come. */
  passed(): Promise<void>;
}

/** What the ranks show each other of their calls. */
export interface CallBoard {
  /** This rank shows its next call, from the next step on. */
  begin(call: Fingerprint): void;
  /** Do two ranks make the same call? To be asked between the call's first step and the next one. */
  sameCalls(a: number, b: number): boolean;
  callOf(rank: number): Fingerprint;
  /** This rank shows that it makes no call. */
  skip(): void;
  /** Does any rank show that? */
  isSkipped(): boolean;
}

/** What every region is made with. */
export interface RegionParts {
  size: number;
  gate: MeetingPlace;
  calls: CallBoard;
  /** Resolves when the event loop has turned. */
  turn(): Promise<void>;
}

/** See the file's head. */
export abstract class Region {
  /** Calls with tensors of this executor may use the region's algorithms. */
  abstract readonly executor: Executor;
  /** What of them suits it. */
  abstract readonly kind: Exclude<PlanScope["inRegion"], false>;
  /** What the group's calls find in their context. */
  abstract readonly context: Pick<Context, "shared" | "areas">;
  /** Plans of calls that may be made again. */
  readonly plans: RepeatedPlans = new RepeatedPlans();
  readonly #parts: RegionParts;
  /** Of the call whose turn it is. */
  #exchange: LazyExchange | null = null;
  /** Calls that wait for their turn. */
  readonly #queue: (() => void)[] = [];
  #busy = false;
  /** A step that this rank made and did not see all others make: nothing begins before they have. */
  #open: Promise<void> | null = null;
  #lastTurn = 0;
  #agreed = false;
  /** What the last call found, but for folds. */
  #context: Context | null = null;

  constructor(parts: RegionParts) {
    this.#parts = parts;
  }

  /**
   * Runs a call of this rank when those before it are done. One that is all messages makes the step that compares the calls
   * first. A short call whose ranks come together ends in here, without a promise.
   */
  run(host: CallHost, executor: Executor, plan: Plan, admitted: Admission, call: Call): Promise<undefined> | undefined {
    const { channel } = host;
    if (channel.dead) return Promise.reject(channel.dead);
    try {
      channel.enter(call.sequence);
    } catch (error) {
      return this.#skip(channel).then(() => Promise.reject(error));
    }
    const exchange = new LazyExchange(channel, call.sequence, plan.fingerprint);
    const folds = isOfHub(plan) ? host.foldsOf(plan, exchange.opened) : null;
    const context = folds
      ? { ...host.surroundings(executor), exchange: exchange.opened, hub: folds }
      : this.#contextOf(host, executor);
    let running: Promise<void> | undefined;
    try {
      const later = this.#begin(exchange, call.started);
      if (later) running = later.then(() => admitted).then(() => this.#begun(plan, context));
      else running = admitted ? admitted.then(() => this.#begun(plan, context)) : this.#begun(plan, context);
    } catch (error) {
      running = Promise.reject(error);
    }
    if (running) return this.#ending(running, host, plan, exchange.opened, folds, call);
    folds?.close();
    this.#end();
    exchange.close();
    return undefined;
  }

  /** Resolves, or returns at once, when every rank has made this step. */
  step(): Promise<void> | undefined {
    return this.arrived(this.#parts.gate.arrive());
  }

  /** What is left of a step to which this rank has come, and all if `all`. */
  protected arrived(all: boolean): Promise<void> | undefined {
    if (!all) return this.#stepLater();
    return this.agree();
  }

  /** Do all ranks make the same call? To be asked when all have come to its first step. */
  protected isSameCall(): boolean {
    return !this.#parts.calls.isSkipped() && this.#firstToDiffer() === 0;
  }

  /** A call's first step has not brought all ranks together yet, and will be awaited. */
  protected whenAwaited(_exchange: ChannelExchange): void {}

  /**
   * At a call's first step, when all have come: the first rank whose call is not rank 0's, and rank 0, are named. Where some
   * rank has skipped the call its verdict is on the way, and awaited.
   */
  protected agree(): Promise<void> | undefined {
    if (this.#agreed) return undefined;
    const { calls } = this.#parts;
    if (calls.isSkipped()) return this.#watch(this.#exchange!.opened, new Promise(() => {}));
    const rank = this.#firstToDiffer();
    if (rank > 0) {
      const { channel, opened } = this.#exchange!;
      channel.onDisagreement(opened, [0, rank], [calls.callOf(0), calls.callOf(rank)]);
      throw opened.error;
    }
    this.#agreed = true;
    return undefined;
  }

  /** To be called between pieces of long work: lets the event loop turn if it has not for a while. */
  breathe(): Promise<void> | undefined {
    return this.#isTurnDue(now()) ? this.#pause() : undefined;
  }

  /** The first rank whose call is not rank 0's, or 0. */
  #firstToDiffer(): number {
    const { calls, size } = this.#parts;
    for (let rank = 1; rank < size; rank++) if (!calls.sameCalls(0, rank)) return rank;
    return 0;
  }

  #begun(plan: Plan, context: Context): Promise<void> | undefined {
    const late = plan.needs === "region" || plan.needs === "areas" ? undefined : this.step();
    return late ? late.then(() => plan.run(context)) : plan.run(context);
  }

  async #ending(
    running: Promise<void>,
    host: CallHost,
    plan: Plan,
    exchange: ChannelExchange,
    folds: HubCall | null,
    call: Call,
  ): Promise<undefined> {
    try {
      await running;
    } catch (error) {
      call.overwritten = plan.writes !== "no" && this.#agreed;
      throw host.failed(exchange, error);
    } finally {
      folds?.close();
      this.#end();
      host.channel.close(exchange, true);
    }
  }

  /** Where calls take turns, what one of them finds the next one finds, too. */
  #contextOf(host: CallHost, executor: Executor): Context {
    if (this.#context?.executor !== executor) {
      const exchangeInTurn = () => this.#exchange!.opened;
      this.#context = {
        ...host.surroundings(executor),
        hub: null,
        get exchange() {
          return exchangeInTurn();
        },
      };
    }
    return this.#context;
  }

  /** Begins a call that this rank made `at` a time; if that cannot be yet, resolves when it has. */
  #begin(exchange: LazyExchange, at: number): Promise<void> | undefined {
    if (this.#busy || this.#open || this.#isTurnDue(at)) return this.#beginLater(exchange);
    this.#start(exchange);
    return undefined;
  }

  /** Ends the call. The next one that waits begins. */
  #end(): void {
    const next = this.#queue.shift();
    if (next) next();
    else this.#busy = false;
  }

  /**
   * This rank may not make a call that others have begun, for its verdict is known already: it comes to their first step all
   * the same, when it is the call's turn.
   */
  async #skip(channel: Channel): Promise<void> {
    if (this.#busy) await new Promise<void>((resolve) => this.#queue.push(resolve));
    this.#busy = true;
    await this.#open;
    this.#pass(channel);
    this.#end();
  }

  /** While the event loop turns the call may fail; then it ends here. */
  async #pause(): Promise<void> {
    const { opened } = this.#exchange!;
    await this.#turn();
    if (opened.error) throw opened.error;
  }

  #isTurnDue(at: number): boolean {
    return at - this.#lastTurn > TURN_MS;
  }

  async #turn(): Promise<void> {
    await this.#parts.turn();
    this.#lastTurn = now();
  }

  async #beginLater(exchange: LazyExchange): Promise<void> {
    const { channel, opened } = exchange;
    if (this.#busy) await new Promise<void>((resolve) => this.#queue.push(resolve));
    this.#busy = true;
    this.#agreed = false;
    if (this.#open) await this.#watch(opened, this.#open);
    if (this.#isTurnDue(now())) await this.#turn();
    if (opened.error) {
      this.#pass(channel);
      throw opened.error;
    }
    this.#start(exchange);
  }

  #start(exchange: LazyExchange): void {
    this.#busy = true;
    this.#exchange = exchange;
    this.#agreed = false;
    this.#parts.calls.begin(exchange.fingerprint);
  }

  async #stepLater(): Promise<void> {
    const { opened } = this.#exchange!;
    if (!this.#agreed) this.whenAwaited(opened);
    await this.#watch(opened, this.#leaveOpen());
    this.#lastTurn = now();
    return this.agree();
  }

  /** Comes to a call's first step without making the call. */
  #pass(channel: Channel): void {
    if (channel.dead) return;
    this.#parts.calls.skip();
    if (!this.#parts.gate.arrive()) this.#leaveOpen();
  }

  #leaveOpen(): Promise<void> {
    this.#open = this.#parts.gate.passed().then(() => {
      this.#open = null;
    });
    return this.#open;
  }

  /** Resolves with `passed`, or rejects with the exchange. */
  #watch(exchange: ChannelExchange, passed: Promise<void>): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const forget = exchange.watch({ missing: () => this.#parts.gate.missing(), reject });
      passed.then(() => {
        forget();
        resolve();
      }, reject);
    });
  }
}
