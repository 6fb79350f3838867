/**
 * Witness: how the ranks of a group with several backends know that a call is for the same one on all of them. Each backend has channels of
 * its own, on which ranks that take another one are never heard; so every rank tells every other one on a channel of the group's which
 * backend its call is for, and none begins before it has heard the same from all.
 */
import type { Channel } from "../../messaging/channel.ts";
import type { ChannelExchange } from "../../messaging/exchange.ts";
import type { Request } from "../../request.ts";
import { forBackend } from "../../wire/fingerprint.ts";
import type { BackendDevice, Call } from "../backend.ts";
import { fingerprintOf, fingerprintOfCall } from "../direct/call-facts.ts";

/** A channel of the group's. */
export interface WitnessChannel {
  readonly channel: Channel;
  close(): void;
}

/** See the file's head. */
export class Witness {
  readonly channel: Channel;
  readonly close: () => void;

  constructor({ channel, close }: WitnessChannel) {
    this.channel = channel;
    this.close = close;
  }

  /**
   * Resolves when all ranks are known to make the call on the backend of `device`, or on the default one for null.
   * @throws MismatchError, on all ranks alike, if they do not: no backend has heard of the call then.
   */
  async agree({ collective }: Request, call: Call, device: BackendDevice | null): Promise<undefined> {
    const own = fingerprintOf(collective, "", {}, 0);
    const { fingerprint } = fingerprintOfCall({ fingerprint: { ...own, customOp: forBackend(device) } }, call);
    const exchange = this.channel.open(call.sequence, fingerprint);
    try {
      await this.#hearAll(exchange);
    } finally {
      this.channel.close(exchange);
    }
    return undefined;
  }

  async #hearAll(exchange: ChannelExchange): Promise<void> {
    const { rank: own, size } = this.channel;
    const others = Array.from({ length: size }, (_, rank) => rank).filter((rank) => rank !== own);
    for (const rank of others) exchange.announce(rank);
    await Promise.all(others.map((rank) => exchange.sameCallOf(rank)));
    if (exchange.error) throw exchange.error;
  }
}
