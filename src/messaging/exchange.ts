/**
 * One collective's messages on one rank (or one point-to-point message's), over the peers of its group.
 *
 * The first frame to each peer carries the call's fingerprint, and whatever comes from a peer is compared with this
 * rank's own as soon as both are known. Once they differ the exchange is frozen: nothing is received any more, so the
 * call cannot end well here or at any rank that depends on this one, until the group's verdict fails it.
 */
import type { WebcclError } from "../errors.ts";
import type { Handle } from "../executor/executor.ts";
import { type Exchange, type Payload, passesHandles, type Traffic } from "../link/link.ts";
import { now } from "../support/clock.ts";
import type { Traffic as GroupTraffic } from "../support/traffic.ts";
import { isSameCall } from "../wire/fingerprint.ts";
import type { Fingerprint } from "../wire/frame.ts";
import { type Arrival, Mailbox, type PostedReceive } from "./mailbox.ts";
import type { Contents, Peer, Route } from "./peer.ts";

/** The channel, as an exchange needs it. Ranks are ranks of the group. */
export interface ExchangeOwner {
  readonly group: number;
  readonly size: number;
  readonly traffic: GroupTraffic;
  peer(rank: number): Peer;
  /** `rank` sent a different call than this rank's. */
  onMismatch(exchange: ChannelExchange, rank: number, theirs: Fingerprint): void;
  /** A message of `rank` has another length than the receive posted for it. */
  onLengthMismatch(exchange: ChannelExchange, rank: number, sentBytes: number, expectedBytes: number): void;
  /** Has `rank` left the group, or the job? */
  hasLeft(rank: number): boolean;
  /** The exchange needs `rank`, which has left. */
  onNeedsLeftPeer(rank: number): void;
}

/** A wait for peers that is not for their messages. */
export interface OtherWait {
  /** Peers that keep it from ending. */
  missing(): readonly number[];
  reject(error: Error): void;
}

/** Implementation of {@link Exchange}. */
export class ChannelExchange implements Exchange {
  readonly sequence: number;
  readonly pointToPoint: boolean;
  /** This rank's call; null until it enters. */
  fingerprint: Fingerprint | null = null;
  error: WebcclError | null = null;
  /** May anything have been written to a receive's room? */
  hasWritten = false;
  readonly traffic: Traffic = { messagesSent: 0, messagesReceived: 0, bytesSent: 0, bytesReceived: 0 };

  readonly #owner: ExchangeOwner;
  readonly #mailbox = new Mailbox();
  readonly #heard = new Map<number, Fingerprint>();
  readonly #announced = new Set<number>();
  /** Waits for a peer's call. */
  readonly #awaitedCalls = new Map<number, { resolve(): void; reject(error: Error): void }>();
  #frozen = false;
  /** Sends that are not done: how to give each up. */
  readonly #sending = new Set<{ peer: number; fail(error: Error): void }>();
  /** Receives that met their message and wait for its bytes. */
  readonly #receiving = new Set<PostedReceive>();
  /** Waits that are not for messages. */
  readonly #waits = new Set<OtherWait>();
  /** Told once if the exchange fails. */
  readonly #onFailed: ((error: WebcclError) => void)[] = [];

  constructor(owner: ExchangeOwner, sequence: number, pointToPoint: boolean) {
    this.#owner = owner;
    this.sequence = sequence;
    this.pointToPoint = pointToPoint;
  }

  /** `listener` is told if the exchange fails; at once if it has. */
  whenFailed(listener: (error: WebcclError) => void): void {
    if (this.error) listener(this.error);
    else this.#onFailed.push(listener);
  }

  /** This rank's call, which it has made. */
  get call(): Fingerprint {
    if (!this.fingerprint) throw new Error("this rank has made no call");
    return this.fingerprint;
  }

  /** This rank makes its call. */
  enter(fingerprint: Fingerprint): void {
    this.fingerprint = fingerprint;
    for (const [rank, theirs] of this.#heard) this.#compare(fingerprint, rank, theirs);
  }

  /** A peer's call is known. */
  hear(rank: number, theirs: Fingerprint): void {
    this.#heard.set(rank, theirs);
    if (this.fingerprint) this.#compare(this.fingerprint, rank, theirs);
    if (!this.#frozen) this.#awaitedCalls.get(rank)?.resolve();
  }

  /** Resolves when the call of `rank` is known and is the same as this rank's. */
  sameCallOf(rank: number): Promise<void> {
    if (this.error) return Promise.reject(this.error);
    if (this.#heard.has(rank) && !this.#frozen) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#awaitedCalls.set(rank, { resolve, reject });
      if (!this.#heard.has(rank) && this.#owner.hasLeft(rank)) this.#owner.onNeedsLeftPeer(rank);
    });
  }

  /** Tells `rank` of this call if no message has done so yet. */
  announce(rank: number): void {
    if (this.error || this.#announced.has(rank)) return;
    this.#announced.add(rank);
    const peer = this.#owner.peer(rank);
    if (!this.#owner.hasLeft(rank) && this.fingerprint) peer.announce(this.#route(0), this.fingerprint);
  }

  send(rank: number, contents: Contents, slot: number): Promise<void> {
    if (this.error) return Promise.reject(this.error);
    const peer = this.#owner.peer(rank);
    if (this.#owner.hasLeft(rank)) {
      this.#owner.onNeedsLeftPeer(rank);
      // The group dies of it, and its end rejects the send.
      return new Promise((_, reject) => this.whenFailed(reject));
    }
    const fingerprint = this.#announced.has(rank) ? null : this.fingerprint;
    this.#announced.add(rank);
    this.traffic.messagesSent += 1;
    this.traffic.bytesSent += contents.byteLength;
    this.#owner.traffic.sent(rank, contents.byteLength);
    return new Promise<void>((resolve, reject) => {
      let waiting: { cancel(): void } | null = null;
      const sending = {
        peer: rank,
        fail: (error: Error) => {
          waiting?.cancel();
          reject(error);
        },
      };
      this.#sending.add(sending);
      waiting = peer.send(this.#route(slot), contents, fingerprint, () => {
        this.#sending.delete(sending);
        resolve();
      });
    });
  }

  takesHandles(rank: number): boolean {
    return passesHandles(this.#owner.peer(rank).link);
  }

  sendHandle(rank: number, handle: Omit<Handle, "release">, slot: number): Promise<void> {
    return this.send(rank, handle, slot);
  }

  recv(rank: number, into: Uint8Array, slot: number, adopt?: (handle: Handle) => boolean): Promise<void> {
    if (this.error) return Promise.reject(this.error);
    const { traffic } = this.#owner;
    let since = 0;
    return new Promise<void>((resolve, reject) => {
      const receive: PostedReceive = {
        peer: rank,
        into,
        adopt,
        cancelled: false,
        onCancelled: null,
        begin: () => {
          this.hasWritten = true;
        },
        done: () => {
          this.#receiving.delete(receive);
          this.traffic.messagesReceived += 1;
          this.traffic.bytesReceived += into.byteLength;
          traffic.received(rank, into.byteLength);
          if (since > 0) traffic.waited(rank, now() - since);
          resolve();
        },
        fail: reject,
      };
      if (this.#frozen) {
        this.#receiving.add(receive);
        return;
      }
      const arrival = this.#mailbox.post(this.#key(rank, slot), receive);
      if (!arrival) since = now();
      if (arrival) this.#meet(rank, arrival, receive);
      else if (this.#owner.hasLeft(rank)) this.#owner.onNeedsLeftPeer(rank);
    });
  }

  /** An eager message has come; its bytes are kept if no receive waits for them. */
  onData(peer: Peer, rank: number, slot: number, payload: Payload): void {
    const receive = this.#claim(rank, slot);
    if (this.#frozen) peer.consumed(payload.byteLength);
    else if (receive) this.#meet(rank, peer.arrival(payload), receive);
    else this.#mailbox.hold(this.#key(rank, slot), peer.arrival(payload.keep()));
  }

  /** A peer asks to send. */
  onRequest(rank: number, slot: number, request: Arrival): void {
    const receive = this.#claim(rank, slot);
    if (receive) this.#meet(rank, request, receive);
    else this.#mailbox.hold(this.#key(rank, slot), request);
  }

  /** Does anything here wait for `rank`? */
  needs(rank: number): boolean {
    return this.waitingFor().has(rank);
  }

  /** Peers from whom a message is awaited. */
  waitingFor(): Set<number> {
    const peers = this.#mailbox.waitingFor();
    for (const { peer } of this.#receiving) peers.add(peer);
    for (const rank of this.#awaitedCalls.keys()) if (!this.#heard.has(rank)) peers.add(rank);
    for (const wait of this.#waits) for (const rank of wait.missing()) peers.add(rank);
    return peers;
  }

  /** Until the function that this returns is called, `wait` counts as waiting, and fails with the exchange. */
  watch(wait: OtherWait): () => void {
    this.#waits.add(wait);
    if (this.error) wait.reject(this.error);
    const since = now();
    const missing = wait.missing();
    for (const rank of missing) if (this.#owner.hasLeft(rank)) this.#owner.onNeedsLeftPeer(rank);
    return () => {
      this.#waits.delete(wait);
      for (const rank of missing) this.#owner.traffic.waited(rank, now() - since);
    };
  }

  /** Ends the exchange with an error: every pending send and receive rejects, and nothing is written any more. */
  fail(error: WebcclError): void {
    if (this.error) return;
    this.error = error;
    for (const sending of this.#sending) sending.fail(error);
    this.#sending.clear();
    for (const awaited of this.#awaitedCalls.values()) awaited.reject(error);
    for (const wait of this.#waits) wait.reject(error);
    const { receives, arrivals } = this.#mailbox.clear();
    for (const receive of [...receives, ...this.#receiving]) {
      receive.cancelled = true;
      receive.onCancelled?.();
      receive.fail(error);
    }
    this.#receiving.clear();
    for (const arrival of arrivals) arrival.drop();
    for (const listener of this.#onFailed) listener(error);
  }

  #claim(rank: number, slot: number): PostedReceive | null {
    return this.#frozen ? null : this.#mailbox.claim(this.#key(rank, slot));
  }

  #meet(rank: number, arrival: Arrival, receive: PostedReceive): void {
    this.#receiving.add(receive);
    if (arrival.byteLength !== receive.into.byteLength) {
      this.#frozen = true;
      arrival.drop();
      this.#owner.onLengthMismatch(this, rank, arrival.byteLength, receive.into.byteLength);
      return;
    }
    arrival.deliver(receive);
  }

  #compare(ours: Fingerprint, rank: number, theirs: Fingerprint): void {
    if (this.error || isSameCall(ours, theirs)) return;
    this.#frozen = true;
    this.#owner.onMismatch(this, rank, theirs);
  }

  #route(slot: number): Route {
    return { group: this.#owner.group, sequence: this.sequence, slot, pointToPoint: this.pointToPoint };
  }

  #key(rank: number, slot: number): number {
    return slot * this.#owner.size + rank;
  }
}
