/**
 * Point-to-point messages of one group: a message is received by the first pending receive of its source and tag.
 *
 * Each message is an exchange of its own, numbered per ordered pair of ranks. Its first frame carries source, tag, dtype
 * and count (the envelope); the receive that meets the envelope takes the rest. A receive whose dtype or count differs
 * rejects on both sides, and the group goes on.
 *
 * A message may also be announced alone, to go another way once it has met its receive (backend/nccl/messages.ts).
 */
import { toWireError, type WebcclError } from "../errors.ts";
import type { Payload } from "../link/link.ts";
import type { GroupMessage } from "../wire/control-messages.ts";
import { type Fingerprint, FrameKind, type Header } from "../wire/frame.ts";
import { ChannelExchange, type ExchangeOwner } from "./exchange.ts";
import type { Peer } from "./peer.ts";

/** A receive that met its message. */
export interface Matched {
  readonly exchange: ChannelExchange;
  readonly source: number;
}

interface Envelope extends Matched {
  readonly call: Fingerprint;
}

interface Receive {
  /** The caller's number for it. */
  readonly id: number;
  /** Null for any source. */
  readonly source: number | null;
  readonly call: Fingerprint;
  resolve(matched: Matched): void;
  reject(error: Error): void;
}

/** The channel, as point-to-point messages need it. */
export interface PointToPointOwner extends ExchangeOwner {
  readonly name: string;
  readonly rank: number;
  readonly dead: WebcclError | null;
  tell(rank: number, message: GroupMessage): void;
  onWordless(error: unknown): void;
}

/** The messages between this rank and the others of its group. */
export class PointToPoint {
  readonly #channel: PointToPointOwner;
  readonly #sequences = new Map<number, number>();
  readonly #outgoing = new Map<string, ChannelExchange>();
  readonly #incoming = new Map<string, ChannelExchange>();
  /** Called when an announced message has met its receive. */
  readonly offers: Map<ChannelExchange | undefined, () => void> = new Map();
  readonly #envelopes = new Set<Envelope>();
  readonly #receives = new Set<Receive>();

  constructor(channel: PointToPointOwner) {
    this.#channel = channel;
  }

  /** Opens the next message to `destination`; its exchange takes the sends. */
  open(destination: number, call: Fingerprint): ChannelExchange {
    if (this.#channel.dead) throw this.#channel.dead;
    const sequence = (this.#sequences.get(destination) ?? 0) + 1;
    this.#sequences.set(destination, sequence);
    const exchange = new ChannelExchange(this.#channel, sequence, true);
    exchange.enter(call);
    this.#outgoing.set(key(destination, sequence), exchange);
    return exchange;
  }

  /** The receiver of message `sequence` to `destination` has accepted it. */
  onReady(destination: number, sequence: number): void {
    this.offers.get(this.#outgoing.get(key(destination, sequence)))?.();
  }

  /** The message to `destination` is sent. */
  closeOutgoing(destination: number, exchange: ChannelExchange): void {
    this.#outgoing.delete(key(destination, exchange.sequence));
  }

  /** Waits for a message of `source` (null: of any rank) whose tag is `call.root`; its exchange gives the bytes. */
  match(id: number, source: number | null, call: Fingerprint): Promise<Matched> {
    if (this.#channel.dead) return Promise.reject(this.#channel.dead);
    return new Promise((resolve, reject) => {
      const receive: Receive = { id, source, call, resolve, reject };
      for (const envelope of this.#envelopes) {
        if (fits(receive, envelope)) {
          this.#envelopes.delete(envelope);
          this.#meet(receive, envelope);
          return;
        }
      }
      this.#receives.add(receive);
      // The group dies of it, and its end rejects the receive.
      if (source !== null && this.#channel.hasLeft(source)) this.#channel.onNeedsLeftPeer(source);
    });
  }

  /** Gives up receive `id` if it is still unmatched; false if it is not. */
  withdraw(id: number, reason: WebcclError): boolean {
    for (const receive of this.#receives) {
      if (receive.id !== id) continue;
      this.#receives.delete(receive);
      receive.reject(reason);
      return true;
    }
    return false;
  }

  /** The message of `source` is received. */
  closeIncoming(source: number, exchange: ChannelExchange): void {
    this.#incoming.delete(key(source, exchange.sequence));
  }

  /** A frame of a message; false if it belongs to none. */
  onFrame(peer: Peer, rank: number, header: Header, theirs: Fingerprint | null, payload: Payload): boolean {
    const name = key(rank, header.sequence);
    let exchange = this.#incoming.get(name);
    if (!exchange) {
      if (!theirs) return false;
      exchange = new ChannelExchange(this.#channel, header.sequence, true);
      this.#incoming.set(name, exchange);
    }
    if (header.kind === FrameKind.DATA) exchange.onData(peer, rank, header.slot, payload);
    else if (header.kind === FrameKind.REQUEST) exchange.onRequest(rank, header.slot, peer.request(header));
    if (theirs) this.#arrived({ exchange, source: rank, call: theirs });
    return true;
  }

  /** The receiver of message `sequence` to `destination` refused it. */
  onRefused(destination: number, sequence: number, error: WebcclError): void {
    const name = key(destination, sequence);
    this.#outgoing.get(name)?.fail(error);
    this.#outgoing.delete(name);
  }

  /** This rank refuses a message it has begun to receive. */
  refuse(exchange: ChannelExchange, source: number, error: WebcclError): void {
    exchange.fail(error);
    this.closeIncoming(source, exchange);
    this.#channel.tell(source, {
      type: "point-to-point-mismatch",
      sequence: exchange.sequence,
      error: toWireError(error),
    });
  }

  /** Does anything here wait for `rank`? */
  needs(rank: number): boolean {
    for (const receive of this.#receives) if (receive.source === rank) return true;
    const exchanges = [...this.#incoming.values(), ...this.#outgoing.values()];
    return exchanges.some((exchange) => exchange.needs(rank));
  }

  /** The group is dead. */
  fail(cause: WebcclError): void {
    for (const exchange of [...this.#outgoing.values(), ...this.#incoming.values()]) exchange.fail(cause);
    for (const receive of this.#receives) receive.reject(cause);
    this.#outgoing.clear();
    this.#incoming.clear();
    this.#receives.clear();
    this.#envelopes.clear();
  }

  #arrived(envelope: Envelope): void {
    for (const receive of this.#receives) {
      if (!fits(receive, envelope)) continue;
      this.#receives.delete(receive);
      this.#meet(receive, envelope);
      return;
    }
    this.#envelopes.add(envelope);
  }

  #meet(receive: Receive, envelope: Envelope): void {
    const { exchange, call } = envelope;
    const field = differingEnvelope(call, receive.call);
    if (!field) {
      exchange.enter(call);
      receive.resolve(envelope);
      return;
    }
    this.#refuseEnvelope(receive, envelope, field).catch((error) => {
      this.#channel.onWordless(error);
      receive.reject(error);
    });
  }

  async #refuseEnvelope(receive: Receive, { exchange, source, call }: Envelope, field: string): Promise<void> {
    const { name, rank } = this.#channel;
    const { messagesDiffer } = await import("./mismatch-errors.ts");
    const error = messagesDiffer(name, exchange.sequence, field, [source, rank], [call, receive.call]);
    this.refuse(exchange, source, error);
    receive.reject(exchange.error ?? error);
  }
}

/**
 * The field that differs between a message and its receive, or null. Where their algorithms differ, one tensor is in
 * host memory and the other on a CUDA device.
 */
function differingEnvelope(sent: Fingerprint, wanted: Fingerprint): string | null {
  if (sent.dtype !== wanted.dtype) return "dtype";
  if (sent.count !== wanted.count) return "count";
  return sent.algorithm === wanted.algorithm ? null : "memory (host or CUDA)";
}

function fits(receive: Receive, envelope: Envelope): boolean {
  return (receive.source === null || receive.source === envelope.source) && receive.call.root === envelope.call.root;
}

function key(rank: number, sequence: number): string {
  return `${rank}:${sequence}`;
}
