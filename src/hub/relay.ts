/**
 * Relay: passes frames from member to member without copying or reading their payloads.
 *
 * Back-pressure: bytes for a member wait in its socket, and count as in flight from their sender. A sender is not read,
 * and so in the end its process blocks, while
 *   - a member it sends to has more than the high-water mark waiting, until half of it is left; or
 *   - it has itself more than the high-water mark in flight, until half of it is left; or
 *   - the hub holds more than half of its cap, and the sender has anything in flight.
 * A member that stays over the mark for too long is not slow but gone, and is closed (S16). While a sender is held back for
 * another member, all hear so: neither its questions nor its answers come through, and it is not to blame.
 *
 * Bytes that had been read before the pause took hold still come: about one message. The caps (`maxRankBytes`,
 * `maxHubBytes`) are for senders that go past these marks nevertheless.
 */

import type { Socket } from "../link/link.ts";
import { startTimer, type Timer } from "../support/clock.ts";

/** Bounds on the bytes that wait in a hub. */
export interface RelayLimits {
  /** Bytes waiting for one member, or in flight from one, at which senders are paused. */
  highWaterBytes: number;
  /** Most bytes in flight from one rank (S9). */
  maxRankBytes: number;
  /** Most bytes in flight in the whole hub (S9). */
  maxHubBytes: number;
  /** Milliseconds a member may leave more than the high-water mark unread (S16). */
  slowReaderMs: number;
}

/** Told of one port. */
interface PortListener {
  /** The socket has not read for too long, and is to be closed. */
  onSlowReader(silentMs: number): void;
  /** From now on this port is paused because another one is full, or is so no longer. */
  onHeld(by: Port, isHeld: boolean): void;
}

/** One socket's traffic through the relay. */
export class Port {
  readonly socket: Socket;
  readonly rank: number;
  /** Its frames have checksums, both ways. */
  checksums: boolean;
  /** Bytes that came from this port and wait for others. */
  bytesInFlight = 0;
  /** Bytes of this port that are kept until others have come. */
  heldBytes = 0;
  /** Frames that belonged nowhere. */
  strayFrames = 0;
  /** Ports that are full and for which this one is paused. */
  readonly pausedFor = new Set<Port>();
  /** Ports that are paused because this one is full. */
  readonly pausing = new Set<Port>();
  /** Paused because it has too much in flight itself. */
  overdrawn = false;
  /** Runs while more than the high-water mark waits for it. */
  slowTimer: Timer | null = null;
  open = true;

  readonly listener: PortListener;

  constructor(socket: Socket, rank: number, checksums: boolean, listener: PortListener) {
    this.socket = socket;
    this.rank = rank;
    this.checksums = checksums;
    this.listener = listener;
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
  forward(from: Port, to: Port, parts: readonly Uint8Array[], byteLength: number, onSent?: () => void): string | null {
    if (from.bytesInFlight + byteLength > this.#limits.maxRankBytes) return "too many bytes in flight from this rank";
    if (this.#bytesInFlight + byteLength > this.#limits.maxHubBytes) return "too many bytes in flight in this hub";
    from.bytesInFlight += byteLength;
    this.#bytesInFlight += byteLength;
    to.socket.send(parts, () => {
      from.bytesInFlight -= byteLength;
      this.#bytesInFlight -= byteLength;
      onSent?.();
      if (to.socket.bufferedBytes <= this.#limits.highWaterBytes / 2) this.#drained(to);
      if (from.overdrawn && from.bytesInFlight <= this.#allowance / 2) {
        from.overdrawn = false;
        resumeIfFree(from);
      }
    });
    if (!from.open || !to.open) return null;
    if (to.socket.bufferedBytes > this.#limits.highWaterBytes) {
      const { slowReaderMs } = this.#limits;
      to.slowTimer ??= startTimer(slowReaderMs, () => to.listener.onSlowReader(slowReaderMs));
      const wasHeld = to.pausing.has(from);
      to.pausing.add(from);
      from.pausedFor.add(to);
      if (!wasHeld && from !== to) from.listener.onHeld(to, true);
    }
    if (from.bytesInFlight > this.#allowance) from.overdrawn = true;
    if (isHeld(from)) from.socket.pause();
    return null;
  }

  /**
   * Counts bytes of `from` that the hub keeps.
   * @returns why `from` must be closed, if it has gone past a cap; then nothing was counted.
   */
  hold(from: Port, byteLength: number): string | null {
    if (from.heldBytes + byteLength > this.#limits.maxRankBytes) return "too many bytes to fold from this rank";
    if (this.#bytesInFlight + byteLength > this.#limits.maxHubBytes) return "too many bytes in this hub";
    from.heldBytes += byteLength;
    this.#bytesInFlight += byteLength;
    return null;
  }

  /** The hub keeps held bytes no longer. */
  release(from: Port, byteLength: number): void {
    from.heldBytes -= byteLength;
    this.#bytesInFlight -= byteLength;
  }

  /** Bytes that one port may have in flight before it is paused. */
  get #allowance(): number {
    return this.#bytesInFlight > this.#limits.maxHubBytes / 2 ? 0 : this.#limits.highWaterBytes;
  }

  /** Forgets a port that is gone: nobody waits for it any longer. */
  remove(port: Port): void {
    port.open = false;
    this.#drained(port);
    for (const full of port.pausedFor) full.pausing.delete(port);
    port.pausedFor.clear();
    port.overdrawn = false;
    // So that its close is read, after the bytes before it, which are ignored.
    port.socket.resume();
  }

  /** The port has read enough of the bytes that waited: those who send to it go on. */
  #drained(full: Port): void {
    full.slowTimer?.cancel();
    full.slowTimer = null;
    const sources = [...full.pausing];
    full.pausing.clear();
    for (const source of sources) {
      source.pausedFor.delete(full);
      resumeIfFree(source);
      if (source !== full) source.listener.onHeld(full, false);
    }
  }
}

function isHeld(port: Port): boolean {
  return port.overdrawn || port.pausedFor.size > 0;
}

function resumeIfFree(port: Port): void {
  if (!isHeld(port)) port.socket.resume();
}
