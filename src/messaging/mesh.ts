/**
 * Mesh: this rank's links to every other rank of the job, the channels of its groups over them, and who is gone.
 *
 * A rank is lost when its link closes without a goodbye, when a hub says so, or when a peer says so. Before anyone is
 * named, GRACE_MS pass for other closes to come in: a process that dies of the first loss closes its links too, and the
 * first cause is the one to name.
 */

import { HubLostError, ProtocolError, type WebcclError } from "../errors.ts";
import type { Link, Payload } from "../link/link.ts";
import type { Logger } from "../options.ts";
import { startTimer, type Timer } from "../support/clock.ts";
import { textOf } from "../support/thrown.ts";
import { decodeMessage, encodeMessage, isAboutJob, type MeshMessage } from "../wire/control-messages.ts";
import { decodeFingerprint, decodeHeader, type Fingerprint, FrameFlag, FrameKind, type Header } from "../wire/frame.ts";
import { Channel, type ChannelOptions } from "./channel.ts";
import { EarlyFrames } from "./early-frames.ts";
import { Peer } from "./peer.ts";
import type { Between } from "./probes.ts";

/** How long to wait for other closes before a lost rank is named, in milliseconds. */
const GRACE_MS = 50;

/** Most messages that wait for whoever hears of the membership. */
const MAX_TALK = 4_096;

/** The group number of messages about the job as a whole. */
const JOB = 0;

/** Hears of what concerns the membership of the job (`membership/`). Ranks are the job's. */
export interface MembershipListener {
  /** A message of `rank` about the epoch to come, which it sent in epoch `sentIn`. */
  onMessage(rank: number, message: unknown, sentIn: number): void;
  /** {@link Mesh.reaches} may answer otherwise than before. */
  onChange(): void;
}

/** Told of ranks that were lost, or said goodbye. Ranks are the job's. */
export type DepartureHook = (rank: number, type: "lost" | "left", reason: string) => void;

/** Bring-up makes a mesh with these, once all links are there. */
export interface MeshOptions {
  rank: number;
  epoch: number;
  /** The link to each other rank. */
  links: ReadonlyMap<number, Link>;
  logger: Logger;
}

/** All links of one rank. */
export class Mesh {
  readonly rank: number;
  /** Frames of other epochs that were dropped. */
  droppedFrames = 0;
  readonly departureHooks: DepartureHook[] = [];
  #epoch: number;
  #membership: MembershipListener | null = null;
  /** What came for the listener before there was one. */
  #talk: Parameters<MembershipListener["onMessage"]>[] = [];
  readonly #logger: Logger;
  readonly #peers = new Map<number, Peer>();
  readonly #channels = new Map<number, Channel>();
  readonly #closedGroups = new Set<number>();
  readonly #early = new EarlyFrames();
  /** Peers found gone and not yet named, each with the reason, first cause first. */
  readonly #suspects = new Map<Peer, string>();
  /** Peers that sent what cannot be taken; nothing more of them is. */
  readonly #broken = new Set<Peer>();
  /** For each rank of which the hub reads nothing, those that are slow. */
  readonly #held = new Map<number, Set<number>>();
  #hubLoss: HubLostError | null = null;
  #graceTimer: Timer | null = null;
  #closed = false;

  constructor({ rank, epoch, links, logger }: MeshOptions) {
    this.rank = rank;
    this.#epoch = epoch;
    this.#logger = logger;
    for (const [other, link] of links) this.#add(other, link);
  }

  /** Starts delivery on every link. */
  start(): void {
    for (const peer of this.#peers.values()) this.#start(peer);
  }

  /** A link to a rank that was not here before, and delivery on it. */
  add(rank: number, link: Link): void {
    this.#start(this.#add(rank, link));
  }

  /** Ranks of the group of `ranks` that may keep this one from hearing of `rank` (of the job). */
  #between(ranks: readonly number[], rank: number): Between {
    const { relay, link } = this.#peers.get(rank)!;
    const slow = link.kind === "hub" ? [this.rank, rank].flatMap((end) => [...(this.#held.get(end) ?? [])]) : [];
    return { relay: relay ? ranks.indexOf(relay.rank) : -1, slow: slow.map((other) => ranks.indexOf(other)) };
  }

  #add(rank: number, link: Link): Peer {
    const peer = new Peer(rank, link, link.kind === "hub" ? rank : this.rank, this.#epoch);
    this.#peers.set(rank, peer);
    return peer;
  }

  #start(peer: Peer): void {
    peer.link.start({
      onFrame: (header, payload) => this.#guard(peer, () => this.#onFrame(peer, header, payload)),
      onDamaged: (seen) => {
        this.#damaged(peer, seen);
        peer.control(JOB, encodeMessage({ type: "damaged", seen }));
      },
      onClose: () => {
        peer.closed = true;
        this.#membership?.onChange();
        if (!peer.left) this.lost(peer.rank, "its link closed");
      },
    });
  }

  /** From now on `listener` hears of the membership; of messages that came before, too. */
  listen(listener: MembershipListener): void {
    this.#membership = listener;
    for (const talk of this.#talk.splice(0)) listener.onMessage(...talk);
  }

  /** Is there an open link to `rank`, which has not said goodbye? */
  reaches(rank: number): boolean {
    const peer = this.#peers.get(rank);
    return peer !== undefined && !peer.closed && !peer.saidGoodbye && peer.damage === null;
  }

  /** Was the link to `rank`, which has said no goodbye, closed or damaged in this epoch? */
  hasLost(rank: number): boolean {
    return this.#peers.has(rank) && !this.reaches(rank) && !this.#peers.get(rank)!.saidGoodbye;
  }

  /** Sends `rank` a message about the epoch to come, if there is a link. */
  tell(rank: number, message: object): void {
    const peer = this.#peers.get(rank);
    if (peer && !peer.closed) peer.control(JOB, encodeMessage({ type: "membership", message }));
  }

  /** Epoch `epoch` begins, whose members are these ranks: links to others are closed, and what others send is dropped. */
  adopt(epoch: number, members: readonly number[]): void {
    this.#epoch = epoch;
    this.#suspects.clear();
    this.#hubLoss = null;
    for (const { peer, header, payload } of this.#early.takeOlder(epoch)) this.#drop(peer, header, payload);
    for (const peer of this.#peers.values()) {
      peer.epoch = epoch;
      if (members.includes(peer.rank)) {
        peer.left = peer.saidGoodbye;
        if (peer.closed) this.lost(peer.rank, "its link closed");
        continue;
      }
      peer.left = true;
      this.#broken.add(peer);
      this.#peers.delete(peer.rank);
      peer.link.close();
    }
  }

  /** The hub that relays is in the process of rank `host` (of the job). */
  relayedBy(host: number): void {
    const relay = this.#peers.get(host) ?? null;
    for (const peer of this.#peers.values()) if (peer.link.kind === "hub" && peer !== relay) peer.relay = relay;
  }

  /** While `isHeld` the hub that relays reads nothing of `rank`, because `by` is slow. Both may be this rank. */
  held(rank: number, by: number, isHeld: boolean): void {
    const slow = this.#held.get(rank) ?? new Set();
    this.#held.set(rank, slow);
    if (isHeld) slow.add(by);
    else slow.delete(by);
  }

  /** Makes the channel of a group of `ranks` (of the job, in group order), and hands it the frames that came early. */
  open(options: Omit<ChannelOptions, "peers" | "rank" | "between"> & { ranks: readonly number[] }): Channel {
    const { ranks, ...rest } = options;
    const channel = new Channel({
      ...rest,
      rank: ranks.indexOf(this.rank),
      between: (rank) => this.#between(ranks, ranks[rank]!),
      peers: ranks.map((rank) => this.#peers.get(rank) ?? null),
    });
    this.#channels.set(channel.group, channel);
    for (const { peer, header, fingerprint, payload } of this.#early.take(channel.group)) {
      this.#guard(peer, () => this.#dispatch(channel, peer, header, fingerprint, payload));
    }
    for (const peer of this.#peers.values()) {
      if (peer.damage !== null) channel.linkDamaged(peer, peer.damage);
      else if (peer.closed && !peer.left) channel.onPeerLeft(peer);
    }
    return channel;
  }

  /** This rank leaves the group; frames for it that still come are dropped. */
  close(channel: Channel): void {
    channel.leave();
    this.#channels.delete(channel.group);
    this.#closedGroups.add(channel.group);
  }

  /** `rank` (of the job) is gone, as `reason` tells. */
  lost(rank: number, reason: string): void {
    const peer = this.#peers.get(rank);
    if (this.#closed || !peer) return;
    if (peer.link.kind === "hub") {
      peer.closed = true;
      this.#membership?.onChange();
    }
    this.#suspect(peer, reason);
  }

  #suspect(peer: Peer, reason: string): void {
    if (this.#closed || peer.left) return;
    if (!this.#suspects.has(peer)) this.#suspects.set(peer, reason);
    this.#startGrace();
  }

  /** `rank` (of the job) has left because of `cause`, which is that of its groups, too. */
  failed(rank: number, cause: WebcclError): void {
    const peer = this.#peers.get(rank);
    if (!peer) return;
    for (const channel of [...this.#channels.values()]) if (channel.rankOf(peer) >= 0) channel.condemn(cause);
  }

  /** The hub is gone, and no rank hosted it. */
  hubLost(url: string, reason: string): void {
    if (this.#closed) return;
    this.#hubLoss = new HubLostError(`the hub at ${url} is gone: its connection closed (${reason})`, { url });
    this.#startGrace();
  }

  /** No rank can be reached by the hub any more. */
  hubClosed(): void {
    this.#held.clear();
    for (const peer of this.#peers.values()) if (peer.link.kind === "hub") peer.closed = true;
    this.#membership?.onChange();
  }

  /** The connection between `rank` (of the job) and the hub delivered other bytes than were sent. */
  hubDamaged(rank: number, url: string, seen: string): void {
    if (this.#closed) return;
    const peer = rank === this.rank ? null : this.#peers.get(rank);
    if (peer === undefined) return;
    this.#logger.error(`the connection between rank ${rank} and the hub at ${url} changed bytes: ${seen}`);
    for (const channel of [...this.#channels.values()]) channel.hubDamaged(peer, url, seen);
  }

  /** Says goodbye to every peer and closes the links once that is sent. */
  leave(): void {
    this.#closed = true;
    this.#graceTimer?.cancel();
    const goodbye = encodeMessage({ type: "goodbye" });
    for (const peer of this.#peers.values()) {
      if (!peer.closed) peer.control(JOB, goodbye);
      peer.link.close();
    }
  }

  /** Takes something of `peer`; whatever is thrown over it ends the link to that peer, and nothing else of this process. */
  #guard(peer: Peer, take: () => void): void {
    if (this.#broken.has(peer)) {
      this.droppedFrames++;
      return;
    }
    try {
      take();
    } catch (error) {
      this.#logger.error(`the link to rank ${peer.rank} broke the protocol:`, error);
      this.#broken.add(peer);
      peer.closed = true;
      peer.link.close();
      this.lost(peer.rank, `it broke the protocol: ${textOf(error)}`);
    }
  }

  #onFrame(peer: Peer, bytes: Uint8Array, payload: Payload): void {
    const header = decodeHeader(bytes);
    if (header.peer !== peer.rank) throw new ProtocolError(`a frame of rank ${header.peer}`);
    const fingerprint = header.flags & FrameFlag.FINGERPRINT ? decodeFingerprint(bytes) : null;
    const { kind, request } = header;
    if (kind === FrameKind.DATA && header.flags & FrameFlag.GRANTED) peer.onGranted(header, payload);
    else if (kind === FrameKind.CLEAR) peer.onClear(request);
    else {
      if (kind !== FrameKind.REQUEST) peer.onConsumed(request);
      if (kind === FrameKind.DATA) peer.came(payload.byteLength);
      if (kind === FrameKind.CONSUMED) return;
      if (header.group === JOB) this.#onMessage(peer, header, decodeMessage(contents(payload)) as MeshMessage);
      else this.#onGroupFrame(peer, header, fingerprint, payload);
    }
  }

  #onGroupFrame(peer: Peer, header: Header, fingerprint: Fingerprint | null, payload: Payload): void {
    const channel = this.#channels.get(header.group);
    const isOld = header.epoch < this.#epoch;
    if (channel && header.epoch === this.#epoch) this.#dispatch(channel, peer, header, fingerprint, payload);
    else if (!isOld && !this.#closedGroups.has(header.group)) {
      this.#early.keep({ peer, header, fingerprint, payload: payload.keep() });
    } else this.#drop(peer, header, payload);
  }

  #drop(peer: Peer, header: Header, payload: Payload): void {
    if (header.epoch < this.#epoch) this.droppedFrames++;
    if (header.kind === FrameKind.DATA) peer.arrival(payload).drop();
  }

  #dispatch(channel: Channel, peer: Peer, header: Header, fingerprint: Fingerprint | null, payload: Payload): void {
    if (header.kind !== FrameKind.CONTROL) {
      channel.onFrame(peer, header, fingerprint, payload);
      return;
    }
    const message = decodeMessage(contents(payload));
    if (!isAboutJob(message)) channel.onControl(peer, message);
  }

  #onMessage(peer: Peer, { epoch }: Header, message: MeshMessage): void {
    if (message.type === "goodbye") {
      peer.left = true;
      peer.saidGoodbye = true;
      this.#membership?.onChange();
      this.#tellHooks(peer.rank, "left", "it said goodbye");
      for (const channel of [...this.#channels.values()]) channel.onPeerLeft(peer);
    } else if (message.type === "membership") {
      if (this.#membership) this.#membership.onMessage(peer.rank, message.message, epoch);
      else if (this.#talk.push([peer.rank, message.message, epoch]) > MAX_TALK)
        throw new ProtocolError("too much talk");
    } else if (message.type === "lost") {
      // Hearsay of an older epoch may be about a link that is of no use to anyone any more.
      const lost = epoch < this.#epoch ? undefined : this.#peers.get(message.rank);
      if (lost) this.#suspect(lost, message.reason);
    } else if (message.type === "damaged") {
      this.#damaged(peer, message.seen);
    }
  }

  /** The link to `peer` delivered other bytes than were sent: it is of no use, though the peer may be well. */
  #damaged(peer: Peer, seen: string): void {
    if (peer.left || this.#closed) return;
    peer.left = true;
    peer.damage = seen;
    this.#membership?.onChange();
    this.#logger.error(`the link to rank ${peer.rank} changed bytes: ${seen}`);
    for (const channel of [...this.#channels.values()]) channel.linkDamaged(peer, seen);
  }

  #tellHooks(...departure: Parameters<DepartureHook>): void {
    for (const hook of [...this.departureHooks]) hook(...departure);
  }

  #startGrace(): void {
    this.#graceTimer ??= startTimer(GRACE_MS, () => {
      this.#graceTimer = null;
      this.#name();
    });
  }

  /** The grace is over: every group learns the first of its members that is gone. */
  #name(): void {
    // Ranks whose bring-up is not over leave when the hub does, so their closes follow from it.
    const hubLoss: WebcclError | null = this.#hubLoss;
    this.#hubLoss = null;
    if (hubLoss) for (const channel of [...this.#channels.values()]) channel.condemn(hubLoss);
    const suspects = [...this.#suspects];
    this.#suspects.clear();
    for (const [peer, reason] of suspects) {
      if (peer.left) continue;
      const { rank } = peer;
      peer.left = true;
      this.#logger.debug(`rank ${rank} is lost: ${reason}`);
      this.#tellHooks(rank, "lost", reason);
      for (const other of this.#peers.values()) {
        if (!other.left && !other.closed) other.control(JOB, encodeMessage({ type: "lost", rank, reason }));
      }
      for (const channel of [...this.#channels.values()]) {
        const member = channel.rankOf(peer);
        if (member >= 0) channel.peerLost(member, reason);
      }
    }
  }
}

/** A control message's bytes in one piece. */
function contents(payload: Payload): Uint8Array {
  const bytes = new Uint8Array(payload.byteLength);
  payload.copyTo(bytes);
  return bytes;
}
