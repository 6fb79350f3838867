/**
 * Turn: one call of a group whose calls run one after the other. Its exchange is opened before anything is awaited, and by
 * whoever asks for it. Most calls end before that, and to open an exchange and to close it takes longer than to run them.
 */
import type { Channel } from "../../messaging/channel.ts";
import type { ChannelExchange } from "../../messaging/exchange.ts";
import type { SteppingCall } from "../../region/steps.ts";
import type { Fingerprint } from "../../wire/frame.ts";

/** One call, which the channel has let enter. */
export class Turn implements SteppingCall {
  readonly fingerprint: Fingerprint;
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

  disagree(ranks: readonly [number, number], calls: readonly [Fingerprint, Fingerprint]): Error {
    const { exchange } = this;
    this.#channel.onDisagreement(exchange, ranks, calls);
    return exchange.error ?? new Error(`the calls of rank ${ranks.join(" and rank ")} differ`);
  }

  /** The call has ended, and all ranks are known to have made the same. */
  close(): void {
    if (this.#exchange) this.#channel.close(this.#exchange, true);
  }
}
