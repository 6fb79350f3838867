/**
 * Region: a group's {@link SharedRegion}, made of its page and of the executor that works in the same memory.
 *
 * The group's collectives run in it one after the other, in the order of their calls, which is the same on every rank.
 */
import type { Shared, SharedAlgorithms } from "../algorithm/context.ts";
import type { SharedExecutor, Span } from "../executor/executor.ts";
import type { Channel } from "../transport/channel.ts";
import type { ChannelExchange } from "../transport/exchange.ts";
import { BLOCK_MS, Gate } from "../transport/shared-gate.ts";
import { SharedPage, SLOT_BYTES } from "../transport/shared-page.ts";
import type { SharedRegion } from "../transport/shared-region.ts";
import type { DataType } from "../types.ts";
import { RepeatedPlans } from "./repeated-plans.ts";

/** What a region is made with. */
export interface RegionOptions {
  /** The group's page, at `address` of the memory in `buffer`. */
  buffer: ArrayBufferLike;
  address: number;
  rank: number;
  size: number;
  executor: SharedExecutor;
  algorithms: SharedAlgorithms;
  /** How many threads can run at once. */
  cores: number;
  /** Resolves when the event loop has turned. */
  turn(): Promise<void>;
}

/** See the file's head. */
export class Region implements SharedRegion {
  readonly slotBytes = SLOT_BYTES;
  readonly executor: SharedExecutor;
  /** What the group's calls find in their context. */
  readonly shared: Shared;
  /** Are the ranks more than the cores? */
  readonly crowded: boolean;
  /** Plans of calls that may be made again. */
  readonly plans: RepeatedPlans;
  readonly #options: RegionOptions;
  readonly #page: SharedPage;
  readonly #gate: Gate;
  #channel: Channel | null = null;
  #exchange: ChannelExchange | null = null;
  /** Calls that wait for their turn. */
  readonly #queue: (() => void)[] = [];
  #busy = false;
  /** What {@link slots} gave last, on either side. */
  readonly #slots: [readonly Span[], readonly Span[]] = [[], []];
  #lastTurn = 0;
  #agreed = false;

  constructor(options: RegionOptions) {
    const { buffer, address, rank, size, executor, algorithms, cores } = options;
    this.#options = options;
    this.executor = executor;
    this.shared = { region: this, executor, algorithms };
    this.plans = new RepeatedPlans(executor);
    this.crowded = size > cores;
    this.#page = new SharedPage(buffer, address, rank, size);
    this.#gate = new Gate(this.#page.gate, rank, size, cores);
  }

  /** Begins a call that this rank made at `now`; if that cannot be yet, resolves when it has. */
  begin(channel: Channel, exchange: ChannelExchange, now: number): Promise<void> | undefined {
    if (this.#busy || this.#isTurnDue(now)) return this.#beginLater(channel, exchange);
    this.#start(channel, exchange);
    return undefined;
  }

  /** Ends the call. The next one that waits begins. */
  end(): void {
    const next = this.#queue.shift();
    if (next) next();
    else this.#busy = false;
  }

  /** Did all ranks make the call that runs, or ran last? */
  get agreed(): boolean {
    return this.#agreed;
  }

  slots(dtype: DataType, count: number): readonly Span[] {
    const page = this.#page;
    const kept = this.#slots[page.side];
    if (kept[0]?.dtype === dtype && kept[0].count === count) return kept;
    const slots = Array.from({ length: this.#options.size }, (_, rank) =>
      this.executor.spanAt(page.slot(rank), dtype, count),
    );
    this.#slots[page.side] = slots;
    return slots;
  }

  offer(index: number, span: Span): void {
    this.#page.offer(index, this.executor.addressOf(span), span.byteLength);
  }

  offered(rank: number, index: number, dtype: DataType, count: number): Span | null {
    const address = this.#page.offered(rank, index);
    return address < 0 ? null : this.executor.spanAt(address, dtype, count);
  }

  step(): Promise<void> | undefined {
    return this.#arrived(this.#gate.arrive());
  }

  stepThrough(last: () => void): Promise<void> | undefined {
    return this.#arrived(
      this.#gate.arrive(() => {
        if (!this.#agreed) this.#agree();
        last();
      }),
    );
  }

  #arrived(all: boolean): Promise<void> | undefined {
    if (!all) return this.#stepLater();
    if (!this.#agreed) this.#agree();
    return undefined;
  }

  breathe(): Promise<void> | undefined {
    return this.#isTurnDue(performance.now()) ? this.#turn() : undefined;
  }

  #isTurnDue(now: number): boolean {
    return now - this.#lastTurn > BLOCK_MS;
  }

  async #turn(): Promise<void> {
    await this.#options.turn();
    this.#lastTurn = performance.now();
  }

  async #beginLater(channel: Channel, exchange: ChannelExchange): Promise<void> {
    if (this.#busy) await new Promise<void>((resolve) => this.#queue.push(resolve));
    this.#busy = true;
    if (this.#isTurnDue(performance.now())) await this.#turn();
    this.#agreed = false;
    if (exchange.error) throw exchange.error;
    this.#start(channel, exchange);
  }

  #start(channel: Channel, exchange: ChannelExchange): void {
    this.#busy = true;
    this.#channel = channel;
    this.#exchange = exchange;
    this.#agreed = false;
    this.#page.begin(exchange.fingerprint!);
  }

  async #stepLater(): Promise<void> {
    const exchange = this.#exchange!;
    await new Promise<void>((resolve, reject) => {
      const forget = exchange.watch({ missing: () => this.#gate.missing(), reject });
      this.#gate.passed().then(() => {
        forget();
        resolve();
      }, reject);
    });
    this.#lastTurn = performance.now();
    if (!this.#agreed) this.#agree();
  }

  /** All have come, and shown what they call. The first rank whose call is not rank 0's, and rank 0, are named. */
  #agree(): void {
    const page = this.#page;
    for (let rank = 1; rank < this.#options.size; rank++) {
      if (page.sameCalls(0, rank)) continue;
      this.#channel!.onDisagreement(this.#exchange!, [0, rank], [page.callOf(0), page.callOf(rank)]);
      throw this.#exchange!.error;
    }
    this.#agreed = true;
  }
}
