/**
 * The exchange of a call in a region: opened before anything is awaited, and by whatever else asks for it. Most calls end
 * before that, and to open an exchange and to close it takes longer than to run them.
 */
import type { Channel } from "../../messaging/channel.ts";
import type { ChannelExchange } from "../../messaging/exchange.ts";
import type { Fingerprint } from "../../wire/frame.ts";

/** Of one call, which the channel has let enter. */
export class LazyExchange {
  readonly channel: Channel;
  readonly fingerprint: Fingerprint;
  readonly #sequence: number;
  #opened: ChannelExchange | null;

  constructor(channel: Channel, sequence: number, fingerprint: Fingerprint) {
    this.channel = channel;
    this.fingerprint = fingerprint;
    this.#sequence = sequence;
    this.#opened = channel.hasHeardOf(sequence) ? channel.open(sequence, fingerprint) : null;
  }

  /** The exchange. */
  get opened(): ChannelExchange {
    this.#opened ??= this.channel.open(this.#sequence, this.fingerprint);
    return this.#opened;
  }

  /** The call has ended, and all ranks are known to have made the same. */
  close(): void {
    if (this.#opened) this.channel.close(this.#opened, true);
  }
}
