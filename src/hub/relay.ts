/**
 * Relay: passes frames from member to member without copying or reading what is behind the header.
 *
 * Back-pressure: bytes for a member wait in its socket. When more than the high-water mark wait, every member that sends
 * to it is paused, and so, through its own socket, its process; at half the mark they are resumed. A paused source adds
 * at most what had been read before the pause took hold, so a destination holds about the mark and one message per source.
 */
import type { Socket } from "../transport/transport.ts";

/** Bounds on what waits in a hub. */
export interface RelayLimits {
  /** Bytes waiting for one member at which its sources are paused. Default: 16 MiB. */
  highWaterBytes: number;
  /** Most bytes of one rank's that wait for others (S9). Default: 64 MiB, which pausing keeps out of reach. */
  maxRankBytes: number;
  /** Most bytes that wait in the whole hub (S9). Default: 1 GiB. */
  maxHubBytes: number;
}

export const DEFAULT_RELAY_LIMITS: RelayLimits = {
  highWaterBytes: 16 * 2 ** 20,
  maxRankBytes: 64 * 2 ** 20,
  maxHubBytes: 2 ** 30,
};

/** One socket's traffic through the relay. */
export class Port {
  readonly socket: Socket;
  /** Bytes that came from this port and wait for others. */
  bytesInFlight = 0;
  /** Ports that are full and for which this one is paused. */
  readonly pausedFor = new Set<Port>();
  /** Ports that are paused because this one is full. */
  readonly pausing = new Set<Port>();
  open = true;

  constructor(socket: Socket) {
    this.socket = socket;
  }
}

/** Moves messages between ports, and holds their senders back. */
export class Relay {
  readonly #limits: RelayLimits;
  #bytesInFlight = 0;

  constructor(limits: RelayLimits) {
    this.#limits = limits;
  }

  /** Bytes that wait for any port. */
  get bytesInFlight(): number {
    return this.#bytesInFlight;
  }

  /**
   * Sends `parts` to `to`, on `from`'s account.
   * @returns why `from` must be closed, if it has gone past a cap; then nothing was sent.
   */
  forward(from: Port, to: Port, parts: readonly Uint8Array[], byteLength: number): string | null {
    if (from.bytesInFlight + byteLength > this.#limits.maxRankBytes) return "too many bytes in flight from this rank";
    if (this.#bytesInFlight + byteLength > this.#limits.maxHubBytes) return "too many bytes in flight in this hub";
    from.bytesInFlight += byteLength;
    this.#bytesInFlight += byteLength;
    to.socket.send(parts, () => {
      from.bytesInFlight -= byteLength;
      this.#bytesInFlight -= byteLength;
      if (to.pausing.size > 0 && to.socket.bufferedBytes <= this.#limits.highWaterBytes / 2) this.#resumeSources(to);
    });
    if (to.open && from.open && to.socket.bufferedBytes > this.#limits.highWaterBytes && !to.pausing.has(from)) {
      to.pausing.add(from);
      if (from.pausedFor.size === 0) from.socket.pause();
      from.pausedFor.add(to);
    }
    return null;
  }

  /** Forgets a port that is gone: nobody waits for it any longer. */
  remove(port: Port): void {
    port.open = false;
    this.#resumeSources(port);
    for (const full of port.pausedFor) full.pausing.delete(port);
    if (port.pausedFor.size > 0) {
      port.pausedFor.clear();
      port.socket.resume();
    }
  }

  #resumeSources(full: Port): void {
    for (const source of full.pausing) {
      source.pausedFor.delete(full);
      if (source.pausedFor.size === 0) source.socket.resume();
    }
    full.pausing.clear();
  }
}
