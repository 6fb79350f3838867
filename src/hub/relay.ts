/**
 * Relay: passes frames from member to member without copying or reading their payloads.
 *
 * Back-pressure: bytes for a member wait in its socket, and count as in flight from their sender. A sender is not read,
 * and so in the end its process blocks, while
 *   - a member it sends to has more than the high-water mark waiting, until half of it is left; or
 *   - it has itself more than the high-water mark in flight, until half of it is left; or
 *   - the hub holds more than half of its cap, and the sender has anything in flight.
 * A member that stays over the mark for too long is not slow but gone, and is closed (S16). While a sender is held back, all hear
 * for which member: neither its questions nor its answers come through, and it is not to blame. One that has too much in flight
 * is held back for the member for which most of it waits.
 *
 * Bytes that had been read before the pause took hold still come: about one message. The cap `maxRankBytes` is for a sender
 * that goes past these marks nevertheless.
 *
 * What waits is kept for the member that has not read it, and charged to that member's account: to close its connection is what
 * gives the memory back.
 */

import { startTimer } from "../support/clock.ts";
import type { Port } from "./port.ts";

/** What a message that waits costs beyond its bytes. */
const MESSAGE_BYTES = 256;

/** Bounds on the bytes that wait in a hub. */
export interface RelayLimits {
  /** Bytes waiting for one member, or in flight from one, at which senders are paused. */
  highWaterBytes: number;
  /** Most bytes in flight from one rank, and most that are kept for it until others come (S9). */
  maxRankBytes: number;
  /** Most bytes that the whole hub keeps (S9). */
  maxHubBytes: number;
  /** Milliseconds a member may leave more than the high-water mark unread (S16). */
  slowReaderMs: number;
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

  /** Does the port leave more than the high-water mark unread? */
  isFull(port: Port): boolean {
    return port.socket.bufferedBytes > this.#limits.highWaterBytes;
  }

  /**
   * Sends `parts` to `to`, on `from`'s account.
   * @returns why `from` must be closed, if it has gone past its cap; then nothing was sent.
   */
  forward(from: Port, to: Port, parts: readonly Uint8Array[], byteLength: number, onSent?: () => void): string | null {
    const cost = byteLength + MESSAGE_BYTES;
    if (from.bytesInFlight + cost > this.#mostOf(from)) return "too many bytes in flight from this rank";
    this.#count(from, to, cost);
    to.account.charge(cost);
    to.socket.send(parts, () => {
      this.#count(from, to, -cost);
      to.account.release(cost);
      onSent?.();
      if (to.socket.bufferedBytes <= this.#limits.highWaterBytes / 2) this.#drained(to);
      if (from.overdrawnFor) this.#weigh(from, this.#allowanceOf(from) / 2);
    });
    if (!from.open || !to.open) return null;
    if (this.isFull(to)) {
      const { slowReaderMs } = this.#limits;
      to.slowTimer ??= startTimer(slowReaderMs, () => to.onSlowReader(slowReaderMs));
      change(from, () => {
        to.pausing.add(from);
        from.pausedFor.add(to);
      });
    }
    if (!from.overdrawnFor) this.#weigh(from, this.#allowanceOf(from));
    if (isHeld(from)) from.socket.pause();
    return null;
  }

  /** `bytes` more are in flight from one port to another, or fewer. */
  #count(from: Port, to: Port, bytes: number): void {
    from.bytesInFlight += bytes;
    this.#bytesInFlight += bytes;
    const waiting = (from.waiting.get(to) ?? 0) + bytes;
    if (waiting > 0) from.waiting.set(to, waiting);
    else from.waiting.delete(to);
  }

  /** Holds a port back that has more than `most` in flight, for as long as a part of it waits for the same member. */
  #weigh(from: Port, most: number): void {
    const isOver = from.bytesInFlight > most;
    if (isOver && from.overdrawnFor && from.waiting.has(from.overdrawnFor)) return;
    const [largest] = isOver ? [...from.waiting].sort(([, a], [, b]) => b - a) : [];
    const next = largest?.[0] ?? null;
    if (next === from.overdrawnFor) return;
    change(from, () => {
      from.overdrawnFor = next;
    });
  }

  #mostOf({ maxBytesInFlight }: Port): number {
    return Math.min(this.#limits.maxRankBytes, maxBytesInFlight);
  }

  /** Bytes that one port may have in flight before it is paused. */
  #allowanceOf({ maxBytesInFlight }: Port): number {
    if (this.#bytesInFlight > this.#limits.maxHubBytes / 2) return 0;
    return Math.min(this.#limits.highWaterBytes, maxBytesInFlight / 2);
  }

  /** Forgets a port that is gone: nobody waits for it any longer. */
  remove(port: Port): void {
    port.open = false;
    port.calls.close();
    this.#drained(port);
    for (const full of port.pausedFor) full.pausing.delete(port);
    port.pausedFor.clear();
    port.overdrawnFor = null;
    // So that its close is read, after the bytes before it, which are ignored.
    port.socket.resume();
  }

  /** The port has read enough of the bytes that waited: those who send to it go on. */
  #drained(full: Port): void {
    full.slowTimer?.cancel();
    full.slowTimer = null;
    const sources = [...full.pausing];
    full.pausing.clear();
    for (const source of sources) change(source, () => source.pausedFor.delete(full));
    full.calls.goOn();
  }
}

function isHeld(port: Port): boolean {
  return port.overdrawnFor !== null || port.pausedFor.size > 0;
}

/** The members for which a port is held back; itself, where it reads too little of what is for it. */
function heldFor({ pausedFor, overdrawnFor }: Port): Set<Port> {
  return new Set(overdrawnFor ? [...pausedFor, overdrawnFor] : pausedFor);
}

/** Makes a change to what holds `port` back: the port goes on if nothing does any more, and all are told of each other member. */
function change(port: Port, make: () => void): void {
  const before = heldFor(port);
  make();
  const after = heldFor(port);
  if (before.size > 0 && after.size === 0) port.socket.resume();
  const differing = [...new Set([...before, ...after])].filter((by) => by !== port && before.has(by) !== after.has(by));
  for (const by of differing) port.onHeld(by, after.has(by));
}
