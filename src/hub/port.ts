/** Port: one member's end at the hub: its socket, what is kept for it, and its traffic through the relay. */
import type { Socket } from "../link/link.ts";
import type { LiveSpace } from "../store/live-space.ts";
import { Account } from "../support/account.ts";
import type { Timer } from "../support/clock.ts";
import { StoreCalls } from "./store-calls.ts";

/** A member that is closed for what is kept for it, and has so much to read, is closed at once. */
const MOST_UNREAD_BYTES = 65_536;
/** Bytes that a member's lists may take beyond those of one message. */
const LISTS_BYTES = 2 ** 20;

/** The hub, as a port needs it. */
export interface PortOwner {
  /** Most bytes that a member may have begun. */
  readonly maxRankBytes: number;
  readonly maxMessageBytes: number;
  /** Does the member leave more than the high-water mark unread? */
  isFull(port: Port): boolean;
  /** Sends the answer to a store call. */
  reply(port: Port, payload: readonly Uint8Array[]): void;
  /** From now on a member is paused because another one reads too little, or is so no longer. */
  onHeld(port: Port, by: Port, isHeld: boolean): void;
  /** Ends the member's connection; the others are told. */
  evict(port: Port, code: number, reason: string): void;
}

/** See the file's head. */
export class Port {
  readonly socket: Socket;
  readonly rank: number;
  /** Its frames have checksums, both ways. */
  checksums: boolean;
  /** Of all that is kept for the member. */
  readonly account: Account;
  /** Of what the member has begun, and others or it must end: half messages, parts of folds, calls. It stands in `account`. */
  readonly begun: Account;
  /** Of the keys for which its calls wait, and the ranks of groups that it has named. It stands in `begun`. */
  readonly lists: Account;
  readonly calls: StoreCalls;
  /** Bytes that came from this port and wait for others; and for which they wait. */
  bytesInFlight = 0;
  readonly waiting = new Map<Port, number>();
  /** Most of them that its ticket allows, if that is less than the hub does. */
  maxBytesInFlight = Number.POSITIVE_INFINITY;
  /** A frame has come: the member knows that it is one. */
  hasSpoken = false;
  /** Frames that belonged nowhere. */
  strayFrames = 0;
  /** Ports that are full and for which this one is paused. */
  readonly pausedFor = new Set<Port>();
  /** Ports that are paused because this one is full. */
  readonly pausing = new Set<Port>();
  /** The port for which most waited when this one had too much in flight: until it has less, it is paused. */
  overdrawnFor: Port | null = null;
  /** Runs while more than the high-water mark waits for it. */
  slowTimer: Timer | null = null;
  open = true;
  readonly #owner: PortOwner;

  /** `room` has the account of the member's group, and the contents of its store. */
  constructor(
    socket: Socket,
    rank: number,
    checksums: boolean,
    room: { readonly account: Account; readonly space: LiveSpace },
    owner: PortOwner,
  ) {
    this.socket = socket;
    this.rank = rank;
    this.checksums = checksums;
    this.#owner = owner;
    const name = "this rank";
    this.account = new Account({ name, parent: room.account, evict: (reason) => this.#evict(reason) });
    this.begun = new Account({ name, limit: owner.maxRankBytes, parent: this.account });
    // Room for the longest call. A list takes more memory, and leaves more garbage, than as many bytes of data.
    this.lists = new Account({ name, limit: owner.maxMessageBytes + LISTS_BYTES, parent: this.begun });
    this.calls = new StoreCalls(room.space, {
      account: this.begun,
      lists: this.lists,
      maxBytes: owner.maxMessageBytes,
      isFull: () => owner.isFull(this),
      reply: (payload) => owner.reply(this, payload),
    });
  }

  /** From now on this port is paused because another one reads too little, or is so no longer. */
  onHeld(by: Port, isHeld: boolean): void {
    this.#owner.onHeld(this, by, isHeld);
  }

  /** The member has left more than the high-water mark unread for too long. */
  onSlowReader(silentMs: number): void {
    this.#owner.evict(this, 1008, `it has not read for ${silentMs} ms`);
    this.socket.terminate();
  }

  #evict(reason: string): void {
    this.#owner.evict(this, 1009, reason);
    // It would have to read much before it comes to the close.
    if (this.socket.bufferedBytes > MOST_UNREAD_BYTES) this.socket.terminate();
  }
}
