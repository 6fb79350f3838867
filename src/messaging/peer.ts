/**
 * Peer: one other rank of the job, the link to it, and how much may be under way.
 *
 * Small traffic is sent at once (eager). Each side may have EAGER_BUDGET_BYTES of it that the other has not consumed;
 * the receiver tells the bytes it has consumed in the header of the next frame that it sends, or, once they are half of
 * the budget, in a frame of their own. When the budget is used up a message is asked for first: a request waits in the
 * receiver's mailbox as the message would, the receive that meets it answers "clear to send", and only then do the
 * bytes travel. So a receiver that does not receive holds at most the budget, and a sender copies nothing: its bytes
 * stay where the caller has them. (The eager and rendezvous protocols of MPI implementations.)
 *
 *   sender                      receiver
 *   data (eager)            →   waits in the mailbox, or fills the posted receive
 *                           ←   consumed n bytes, with what is sent next or alone
 *   request r, n bytes      →   waits in the mailbox
 *                           ←   clear r, when a receive meets it
 *   data (granted, r)       →   fills that receive
 */
import { ProtocolError } from "../errors.ts";
import type { Handle } from "../executor/executor.ts";
import { type Link, type Payload, passesHandles } from "../link/link.ts";
import { encodeHeader, type Fingerprint, FrameFlag, FrameKind, HEADER_BYTES, type Header } from "../wire/frame.ts";
import type { Arrival, PostedReceive } from "./mailbox.ts";

/** Eager bytes one side may have unconsumed at the other, headers included. */
export const EAGER_BUDGET_BYTES = 12 * 1024 * 1024;

/** Most requests of a peer that wait for their receives. */
const MAX_ASKED = 2 ** 17;

/** A message: its bytes, or a span that a rank of this thread reads itself. */
export type Contents = Uint8Array | Omit<Handle, "release">;

/** Where a frame belongs. */
export interface Route {
  readonly group: number;
  readonly sequence: number;
  readonly slot: number;
  readonly pointToPoint: boolean;
}

/** A message that waits for "clear to send". */
export interface PendingSend {
  readonly route: Route;
  readonly contents: Contents;
  onSent(): void;
}

/** One other rank. */
export class Peer {
  /** Its rank in the job. */
  readonly rank: number;
  readonly link: Link;
  /** It said goodbye or was named as lost: nothing more comes, and that is no loss. */
  left = false;
  /** Its link has closed, or a hub that relays it says that it is gone. */
  closed = false;
  /** It said goodbye. */
  saidGoodbye = false;
  /** The peer whose process relays what goes to and from this one; null for a direct link, and for a hub that is no rank's. */
  relay: Peer | null = null;
  /** What was seen when its link delivered other bytes than were sent; null while it has not. */
  damage: string | null = null;

  /** Stands in the frames that go to it. */
  epoch: number;
  readonly #address: number;
  #eagerBytes = 0;
  #consumedBytes = 0;
  /** Of its eager traffic that came and is not consumed; of what came for groups that this rank has not made; its open requests. */
  #unconsumedBytes = 0;
  earlyBytes = 0;
  #asked = 0;
  #lastRequest = 0;
  readonly #requests = new Map<number, PendingSend>();
  readonly #grants = new Map<number, PostedReceive>();

  /** `address` stands in the header's peer field: the destination through a hub, else the sending rank. */
  constructor(rank: number, link: Link, address: number, epoch: number) {
    this.rank = rank;
    this.link = link;
    this.#address = address;
    this.epoch = epoch;
  }

  /** Bytes that were sent and not yet consumed there, and those that wait for "clear to send". */
  get inFlightBytes(): number {
    let bytes = this.#eagerBytes;
    for (const { contents } of this.#requests.values()) bytes += contents.byteLength;
    return bytes;
  }

  /** Sends a message, now or when it is cleared. If it has to wait, returns how to cancel it. */
  send(
    route: Route,
    contents: Contents,
    fingerprint: Fingerprint | null,
    onSent: () => void,
  ): { cancel(): void } | null {
    const { byteLength } = contents;
    const cost = messageCost(byteLength);
    if (this.#eagerBytes + cost <= EAGER_BUDGET_BYTES) {
      this.#eagerBytes += cost;
      const header = this.#header(FrameKind.DATA, route, byteLength, fingerprint);
      this.#sendData(header, contents, onSent);
      return null;
    }
    this.#lastRequest = (this.#lastRequest % 0xffffffff) + 1;
    const request = this.#lastRequest;
    this.#requests.set(request, { route, contents, onSent });
    this.link.send(this.#header(FrameKind.REQUEST, route, byteLength, fingerprint, request), null);
    return { cancel: () => this.#requests.delete(request) };
  }

  /** Tells the peer of this rank's call, where no message does. */
  announce(route: Route, fingerprint: Fingerprint): void {
    this.link.send(this.#header(FrameKind.ANNOUNCE, route, 0, fingerprint), null);
  }

  /** Sends a control message about `group`. */
  control(group: number, body: Uint8Array): void {
    const route = { group, sequence: 0, slot: 0, pointToPoint: false };
    this.link.send(this.#header(FrameKind.CONTROL, route, body.byteLength), body);
  }

  /**
   * Counts an eager message that came.
   * @throws ProtocolError if the peer sends more than it may before this rank has consumed the rest.
   */
  came(byteLength: number): void {
    this.#unconsumedBytes += messageCost(byteLength);
    if (this.#unconsumedBytes > EAGER_BUDGET_BYTES) throw new ProtocolError("more eager bytes than a peer may send");
  }

  /** An eager message of this peer, as the mailbox takes it. A payload that has to wait must be a kept one. */
  arrival(payload: Payload): Arrival {
    return {
      byteLength: payload.byteLength,
      deliver: (receive) => {
        this.consumed(payload.byteLength);
        fill(receive, payload);
      },
      drop: () => {
        this.consumed(payload.byteLength);
        payload.handle?.release();
      },
    };
  }

  /** A request of this peer, as the mailbox takes it: to deliver it is to clear it, and to wait for the data. */
  request(header: Header): Arrival {
    const { request, group, sequence, slot } = header;
    if (++this.#asked > MAX_ASKED) throw new ProtocolError("more requests to send than a peer may have");
    return {
      byteLength: header.payloadBytes,
      deliver: (receive) => {
        this.#asked--;
        this.#grants.set(request, receive);
        const route = { group, sequence, slot, pointToPoint: (header.flags & FrameFlag.POINT_TO_POINT) !== 0 };
        this.link.send(this.#header(FrameKind.CLEAR, route, 0, null, request), null);
      },
      drop: () => {
        this.#asked--;
      },
    };
  }

  /** The data that was cleared has come. */
  onGranted(header: Header, payload: Payload): void {
    const receive = this.#grants.get(header.request);
    this.#grants.delete(header.request);
    if (receive && !receive.cancelled) fill(receive, payload);
    else payload.handle?.release();
  }

  /** The peer clears a request. */
  onClear(request: number): void {
    const pending = this.#requests.get(request);
    if (!pending) return;
    this.#requests.delete(request);
    const { route, contents, onSent } = pending;
    const header = this.#header(FrameKind.DATA, route, contents.byteLength, null, request, FrameFlag.GRANTED);
    this.#sendData(header, contents, onSent);
  }

  /** The peer has consumed `bytes` of eager traffic. */
  onConsumed(bytes: number): void {
    this.#eagerBytes = Math.max(0, this.#eagerBytes - bytes);
  }

  /** An eager message of `byteLength` was received or dropped: its share of the budget goes back. */
  consumed(byteLength: number): void {
    this.#consumedBytes += messageCost(byteLength);
    this.#unconsumedBytes -= messageCost(byteLength);
    if (this.#consumedBytes < EAGER_BUDGET_BYTES / 2 || this.closed) return;
    const route = { group: 0, sequence: 0, slot: 0, pointToPoint: false };
    this.link.send(this.#header(FrameKind.CONSUMED, route, 0), null);
  }

  /** The consumed bytes of which the peer has not been told; the caller tells it now. */
  #takeConsumed(): number {
    const bytes = this.#consumedBytes;
    this.#consumedBytes = 0;
    return bytes;
  }

  #sendData(header: Uint8Array, contents: Contents, onSent: () => void): void {
    if (!("memory" in contents)) this.link.send(header, contents.byteLength > 0 ? contents : null, onSent);
    else if (passesHandles(this.link)) this.link.sendHandle(header, { ...contents, release: onSent });
  }

  /** A frame without a request number carries the consumed bytes instead. */
  #header(
    kind: number,
    route: Route,
    payloadBytes: number,
    fingerprint: Fingerprint | null = null,
    request = this.#takeConsumed(),
    flags = 0,
  ): Uint8Array {
    return encodeHeader(
      {
        kind,
        flags: flags | (route.pointToPoint ? FrameFlag.POINT_TO_POINT : 0),
        peer: this.#address,
        epoch: this.epoch,
        slot: route.slot,
        group: route.group,
        sequence: route.sequence,
        payloadBytes,
        request,
      },
      fingerprint,
    );
  }
}

/** Puts a message where its receive wants it: by reference if both can, else as bytes. */
function fill(receive: PostedReceive, payload: Payload): void {
  const { handle } = payload;
  receive.begin();
  if (payload.fill) payload.fill(receive);
  else if (!handle) {
    payload.copyTo(receive.into);
    receive.done();
  } else if (receive.adopt?.(handle)) {
    handle.release();
    receive.done();
  } else void readHandle(receive, handle);
}

/** The receiver has other memory: the lender's bytes are read for it. */
async function readHandle(receive: PostedReceive, handle: Handle): Promise<void> {
  try {
    const lease = await handle.read();
    if (!receive.cancelled) receive.into.set(lease.bytes);
    lease.release();
    receive.done();
  } catch (error) {
    receive.fail(error as Error);
  } finally {
    handle.release();
  }
}

/** The share of the budget that a message takes. */
function messageCost(byteLength: number): number {
  return byteLength + HEADER_BYTES;
}
