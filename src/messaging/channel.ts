/**
 * Channel: one group's traffic over the mesh, and the one judge of whether its ranks agree.
 *
 * - An exchange lives from the first sign of it (this rank's call or a peer's frame) until this rank's call is done.
 *   Afterwards its fingerprint is remembered for a while, so that a late and different call is still noticed.
 * - A mismatch is reported to rank 0 of the group, which makes the first report of a sequence the verdict and tells every
 *   rank. So all ranks reject with the same error, and the group goes on at the next sequence.
 * - A group that died stays dead: its first cause is told to the other ranks and answers every later call.
 */

import {
  AbortedError,
  fromWireError,
  PeerLostError,
  ProtocolError,
  toWireError,
  type WebcclError,
  type WireError,
} from "../errors.ts";
import type { Payload } from "../link/link.ts";
import { hubDamage, linkDamage } from "../link/payload/damage.ts";
import type { Logger } from "../options.ts";
import { Traffic } from "../support/traffic.ts";
import type { Collective } from "../types.ts";
import { encodeMessage, type GroupMessage } from "../wire/control-messages.ts";
import { isSameCall } from "../wire/fingerprint.ts";
import { type Fingerprint, FrameFlag, FrameKind, type Header } from "../wire/frame.ts";
import { ChannelExchange } from "./exchange.ts";
import type { Peer } from "./peer.ts";
import { PointToPoint, type PointToPointOwner } from "./point-to-point.ts";
import type { Between, Probes } from "./probes.ts";
import { Verdicts } from "./verdicts.ts";

/** How many finished collectives are remembered for comparing late calls. */
const REMEMBERED = 1024;

/** Most calls that are open, of this rank and ahead of it. */
const MAX_OPEN = 2 ** 17;

/** The mesh makes a channel with these when a group is opened. */
export interface ChannelOptions {
  /** The group's number on the wire. */
  group: number;
  name: string;
  /** This rank in the group. */
  rank: number;
  /** The peer of each rank of the group; null for this rank. */
  peers: readonly (Peer | null)[];
  logger: Logger;
  /** Who may keep a question from `rank`, or its answer from here. Default: nobody. */
  between?(rank: number): Between;
  /** Called once, when the group dies. */
  onDead(cause: WebcclError): void;
  /** Resolves to the cause of which the group dies on all ranks, if it cannot go on here for this one. Default: this one. */
  agreeOnCause?(cause: WebcclError): Promise<WebcclError>;
}

/** One group on one rank. */
export class Channel implements PointToPointOwner {
  readonly group: number;
  readonly name: string;
  readonly rank: number;
  readonly size: number;
  readonly pointToPoint: PointToPoint;
  readonly traffic: Traffic;
  /** Why the group is dead, or null. */
  dead: WebcclError | null = null;

  readonly #peers: readonly (Peer | null)[];
  readonly #logger: Logger;
  readonly #onDead: (cause: WebcclError) => void;
  readonly #between: NonNullable<ChannelOptions["between"]>;
  readonly #agreeOnCause: NonNullable<ChannelOptions["agreeOnCause"]>;
  #isCondemned = false;
  readonly #exchanges = new Map<number, ChannelExchange>();
  readonly #finished = new Map<number, Fingerprint>();
  readonly #verdicts = new Verdicts();
  readonly #left = new Set<number>();
  #entered = 0;
  #probes: Probes | null = null;

  constructor(options: ChannelOptions) {
    this.group = options.group;
    this.name = options.name;
    this.rank = options.rank;
    this.size = options.peers.length;
    this.#peers = options.peers;
    this.#logger = options.logger;
    this.#onDead = options.onDead;
    this.traffic = new Traffic(this.size, (rank) => this.peer(rank).inFlightBytes);
    this.#between = options.between ?? (() => ({ relay: -1, slow: [] }));
    this.#agreeOnCause = options.agreeOnCause ?? (async (cause) => cause);
    this.pointToPoint = new PointToPoint(this);
  }

  peer(rank: number): Peer {
    const peer = this.#peers[rank];
    if (!peer) throw new RangeError(`rank ${rank} has no peer at rank ${this.rank}`);
    return peer;
  }

  /** The group's rank behind `peer`, or -1. */
  rankOf(peer: Peer): number {
    return this.#peers.indexOf(peer);
  }

  /** This rank makes call `sequence`; calls are made in order. Throws the group's cause of death, or the call's mismatch. */
  enter(sequence: number): void {
    if (this.dead) throw this.dead;
    this.#entered = Math.max(this.#entered, sequence);
    const verdict = this.#verdicts.on(sequence);
    if (verdict) throw verdict;
  }

  /** Has anything of call `sequence` come yet? */
  hasHeardOf(sequence: number): boolean {
    return this.#exchanges.size > 0 && this.#exchanges.has(sequence);
  }

  /** {@link enter}s call `sequence` if that has not been done, and gives its exchange. */
  open(sequence: number, fingerprint: Fingerprint): ChannelExchange {
    this.enter(sequence);
    const exchange = this.#exchange(sequence);
    exchange.enter(fingerprint);
    return exchange;
  }

  /**
   * To be called after the algorithm's first sends: makes sure that the next rank hears of this call, and resolves when
   * the rank before is known to make the same one. If any two calls differ, those of two neighbours do, and one of
   * these two cannot end well.
   */
  agree(exchange: ChannelExchange): Promise<void> {
    if (this.size === 1) return Promise.resolve();
    exchange.announce((this.rank + 1) % this.size);
    return exchange.sameCallOf((this.rank + this.size - 1) % this.size);
  }

  /** This rank cannot make the call it has opened: every other rank's rejects, too. */
  refuse({ sequence, call }: ChannelExchange, reason: string): void {
    import("./mismatch-errors.ts").then(({ cannotTakePart }) => {
      this.#tellJudge(sequence, cannotTakePart(this.name, sequence, call, this.rank, reason));
    }, this.onWordless);
  }

  /** This rank does not make call `sequence`: every other rank's rejects. Resolves to the error with which it does. */
  sitOut(sequence: number, collective: Collective, reason: Error): Promise<WebcclError> {
    this.#entered = Math.max(this.#entered, sequence);
    const known = this.#verdicts.on(sequence) ?? this.dead;
    if (known) return Promise.resolve(known);
    const verdict = this.#verdicts.next(sequence);
    import("./mismatch-errors.ts").then(({ doesNotTakePart }) => {
      this.#tellJudge(sequence, doesNotTakePart(this.name, sequence, collective, this.rank, reason));
    }, this.onWordless);
    return verdict;
  }

  /** This rank's call is done. It is remembered, unless all ranks are known to have made the same. */
  close(exchange: ChannelExchange, agreed = false): void {
    this.#exchanges.delete(exchange.sequence);
    if (exchange.error || agreed) return;
    this.#finished.set(exchange.sequence, exchange.call);
    this.#finished.delete(exchange.sequence - REMEMBERED);
  }

  /** A frame of this group from `peer`. */
  onFrame(peer: Peer, header: Header, theirs: Fingerprint | null, payload: Payload): void {
    const rank = this.rankOf(peer);
    if (rank < 0 || this.dead) this.#drop(peer, header, payload);
    else if (header.flags & FrameFlag.POINT_TO_POINT) {
      if (!this.pointToPoint.onFrame(peer, rank, header, theirs, payload)) this.#drop(peer, header, payload);
    } else this.#onCallFrame(peer, rank, header, theirs, payload);
  }

  #onCallFrame(peer: Peer, rank: number, header: Header, theirs: Fingerprint | null, payload: Payload): void {
    const { sequence } = header;
    const exchange =
      this.#exchanges.get(sequence) ??
      (sequence > this.#entered && !this.#verdicts.on(sequence) ? this.#exchange(sequence) : null);
    if (!exchange) {
      this.#late(rank, sequence, theirs);
      this.#drop(peer, header, payload);
      return;
    }
    if (theirs) exchange.hear(rank, theirs);
    if (exchange.error) this.#drop(peer, header, payload);
    else if (header.kind === FrameKind.DATA) exchange.onData(peer, rank, header.slot, payload);
    else if (header.kind === FrameKind.REQUEST) exchange.onRequest(rank, header.slot, peer.request(header));
  }

  /** A control message of this group from `peer`. */
  onControl(peer: Peer, message: GroupMessage): void {
    const rank = this.rankOf(peer);
    if (rank < 0) return;
    switch (message.type) {
      case "mismatch":
        this.#judge(message.sequence, message.error);
        break;
      case "verdict":
        this.#convict(message.sequence, fromWireError(message.error));
        break;
      case "point-to-point-ready":
        this.pointToPoint.onReady(rank, message.sequence);
        break;
      case "point-to-point-mismatch":
        this.pointToPoint.onRefused(rank, message.sequence, fromWireError(message.error));
        break;
      case "abort":
        // Passed on: whoever hears this rank's goodbye must have heard the cause before it.
        this.abort(fromWireError(message.error));
        break;
      case "leave":
        this.onPeerLeft(peer);
        break;
      case "probe": {
        const reply: GroupMessage = {
          type: "probe-reply",
          id: message.id,
          entered: this.#entered >= message.sequence,
          waitingFor: [...this.waitingFor(message.sequence)],
        };
        peer.control(this.group, encodeMessage(reply));
        break;
      }
      case "probe-reply":
        this.#probes?.onReply(rank, message);
        break;
    }
  }

  onMismatch({ sequence, call }: ChannelExchange, rank: number, theirs: Fingerprint): void {
    this.onDisagreement(sequence, [this.rank, rank], [call, theirs]);
  }

  /** These two ranks' calls of number `sequence` differ: tells the judge, in the order of the ranks. */
  onDisagreement(sequence: number, ranks: readonly [number, number], calls: readonly [Fingerprint, Fingerprint]): void {
    const [first, second] = ranks;
    const [one, other] = calls;
    import("./mismatch-errors.ts").then(({ callsDiffer }) => {
      const error =
        first < second
          ? callsDiffer(this.name, sequence, ranks, calls)
          : callsDiffer(this.name, sequence, [second, first], [other, one]);
      this.#tellJudge(sequence, error);
    }, this.onWordless);
  }

  onLengthMismatch(exchange: ChannelExchange, rank: number, sentBytes: number, expectedBytes: number): void {
    const { sequence, call, pointToPoint } = exchange;
    import("./mismatch-errors.ts").then(({ lengthsDiffer }) => {
      const error = lengthsDiffer(this.name, sequence, call, [rank, this.rank], [sentBytes, expectedBytes]);
      if (pointToPoint) this.pointToPoint.refuse(exchange, rank, error);
      else this.#tellJudge(sequence, error);
    }, this.onWordless);
  }

  /** The module that says how calls differ cannot be loaded, as in a page whose server is gone. */
  readonly onWordless = (error: unknown): void =>
    this.condemn(
      new AbortedError(`group "${this.name}": calls of its ranks differ; how could not be loaded: ${error}`),
    );

  hasLeft(rank: number): boolean {
    return this.#left.has(rank) || this.peer(rank).left;
  }

  onNeedsLeftPeer(rank: number): void {
    this.peerLost(rank, "it had left the group");
  }

  /** `rank` is gone; the group cannot go on. */
  peerLost(rank: number, reason: string): void {
    this.condemn(
      new PeerLostError(`group "${this.name}": rank ${rank} was lost: ${reason}`, { group: this.name, peer: rank }),
    );
  }

  /** The link to `peer` delivers other bytes than were sent. */
  linkDamaged(peer: Peer, seen: string): void {
    const rank = this.rankOf(peer);
    if (rank >= 0) this.condemn(linkDamage(this.name, this.rank, rank, seen));
  }

  /** So does the connection between `peer`, or this rank for null, and the hub at `url`. */
  hubDamaged(peer: Peer | null, url: string, seen: string): void {
    const rank = peer ? this.rankOf(peer) : this.rank;
    if (rank >= 0) this.condemn(hubDamage(this.name, rank, url, seen));
  }

  /** `peer` has left the job, or this group alone. The group dies only if something waits for it. */
  onPeerLeft(peer: Peer): void {
    const rank = this.rankOf(peer);
    if (rank < 0 || this.dead) return;
    this.#left.add(rank);
    const needed = [...this.#exchanges.values()].some((exchange) => exchange.needs(rank));
    if (needed || this.pointToPoint.needs(rank)) this.peerLost(rank, "it left the group while others waited for it");
  }

  /** This rank leaves the group; whoever waits for it, now or later, is told. */
  leave(): void {
    if (!this.dead) this.#broadcast({ type: "leave" });
  }

  /** The group cannot go on, as this rank sees it for `cause`. It dies of the one that all agree on. */
  condemn(cause: WebcclError): void {
    if (this.dead || this.#isCondemned) return;
    this.#isCondemned = true;
    void this.#agreeOnCause(cause).then((verdict) => this.abort(verdict));
  }

  /** Kills the group, here and at every other rank. */
  abort(cause: WebcclError): void {
    if (this.dead) return;
    // Those too that are taken for lost: they may live, and have lost others.
    const body = encodeMessage({ type: "abort", error: toWireError(cause) });
    for (const peer of this.#peers) if (peer && !peer.closed) peer.control(this.group, body);
    this.#die(cause);
  }

  /** Ranks that keep call `sequence` from ending. */
  async stragglers(sequence: number): Promise<number[]> {
    // Who has left has done its part: a call that waited for it would have ended.
    const others = this.#peers.flatMap((peer, rank) => (peer && !this.hasLeft(rank) ? [rank] : []));
    const ask = (id: number) => this.#broadcast({ type: "probe", id, sequence });
    const { Probes } = await import("./probes.ts");
    this.#probes ??= new Probes();
    return this.#probes.stragglers(others, ask, this.#between, () => this.#exchanges.get(sequence)?.waitingFor());
  }

  /** Ranks for which call `sequence` waits now. */
  waitingFor(sequence: number): readonly number[] {
    const exchange = this.#exchanges.get(sequence);
    return exchange?.fingerprint ? [...exchange.waitingFor()] : [];
  }

  /** Tells `rank` something about this group. */
  tell(rank: number, message: GroupMessage): void {
    this.peer(rank).control(this.group, encodeMessage(message));
  }

  #exchange(sequence: number): ChannelExchange {
    let exchange = this.#exchanges.get(sequence);
    if (!exchange) {
      if (this.#exchanges.size >= MAX_OPEN) throw new ProtocolError("too many calls ahead of this rank's");
      exchange = new ChannelExchange(this, sequence, false);
      this.#exchanges.set(sequence, exchange);
    }
    return exchange;
  }

  #drop(peer: Peer, header: Header, payload: Payload): void {
    if (header.kind === FrameKind.DATA) peer.consumed(payload.byteLength);
  }

  /** A call of `rank` at a sequence that is over here. */
  #late(rank: number, sequence: number, theirs: Fingerprint | null): void {
    const ours = this.#finished.get(sequence);
    if (!ours || !theirs) return;
    if (!isSameCall(ours, theirs)) this.onDisagreement(sequence, [this.rank, rank], [ours, theirs]);
  }

  #tellJudge(sequence: number, mismatch: WebcclError): void {
    const error = toWireError(mismatch);
    if (this.rank === 0) this.#judge(sequence, error);
    else this.tell(0, { type: "mismatch", sequence, error });
  }

  /** Rank 0: the first report of a sequence is the verdict. */
  #judge(sequence: number, error: WireError): void {
    if (this.rank !== 0 || this.dead || this.#verdicts.on(sequence)) return;
    this.#broadcast({ type: "verdict", sequence, error });
    this.#convict(sequence, fromWireError(error));
  }

  #convict(sequence: number, error: WebcclError): void {
    if (this.#verdicts.on(sequence)) return;
    this.#verdicts.add(sequence, error);
    this.#exchanges.get(sequence)?.fail(error);
    this.#exchanges.delete(sequence);
  }

  #die(cause: WebcclError): void {
    if (this.dead) return;
    this.dead = cause;
    this.#logger.debug(`group "${this.name}" is dead: ${cause.message}`);
    for (const exchange of this.#exchanges.values()) exchange.fail(cause);
    this.#exchanges.clear();
    this.#verdicts.end(cause);
    this.pointToPoint.fail(cause);
    this.#onDead(cause);
  }

  #broadcast(message: GroupMessage): void {
    const body = encodeMessage(message);
    for (const peer of this.#peers) if (peer && !peer.left && !peer.closed) peer.control(this.group, body);
  }
}
