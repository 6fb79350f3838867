/**
 * Hub folds: a rank's side of the folds at its hub (hub/reduction.ts). One frame up and one down per slot, each
 * answered when all ranks have come to the slot.
 *
 * A call starts only when those before it leave room: the bytes that the calls of a group may have at the hub at a time
 * are bounded. Calls are admitted in the order in which every rank makes them, so the first call that is unfinished
 * anywhere is admitted everywhere.
 */

import { ProtocolError, type WebcclError } from "../errors.ts";
import type { HubConnection } from "../link/hub/connection.ts";
import type { HubReduction, Payload } from "../link/link.ts";
import { Lane } from "../support/in-order.ts";
import { bytesPerElement, DATA_TYPES } from "../types.ts";
import { encodeHeader, type Fingerprint, FoldFlag, FrameKind, type Header, HUB_PEER } from "../wire/frame.ts";
import type { ChannelExchange } from "./exchange.ts";

/**
 * Most bytes that the calls of one group may have at the hub. A call counts with all the slots it may have in flight.
 */
const MAX_GROUP_BYTES = 2 * 2 ** 20;

/** One slot that waits for its answer. */
interface Pending {
  readonly into: Uint8Array | null;
  resolve(): void;
  reject(error: Error): void;
}

/** All folds of one rank. */
export class HubFolds {
  readonly #connection: HubConnection;
  readonly #groups = new Map<number, HubGroup>();

  constructor(connection: HubConnection) {
    this.#connection = connection;
  }

  /** The folds of one group, whose ranks (of the job) are given in group order. */
  open(group: number, ranks: readonly number[], clusters: readonly (readonly number[])[]): HubGroup {
    const folds = new HubGroup(this.#connection, group, ranks, clusters, () => this.#groups.delete(group));
    this.#groups.set(group, folds);
    return folds;
  }

  /** Takes an answer of the hub. One that nobody waits for any longer is dropped. */
  deliver(header: Header, payload: Payload): void {
    this.#groups.get(header.group)?.deliver(header, payload);
  }
}

/** The folds of one group. */
export class HubGroup {
  readonly group: number;
  readonly clusters: readonly (readonly number[])[];
  readonly connection: HubConnection;
  readonly #ranks: readonly number[];
  readonly #onClosed: () => void;
  readonly #calls = new Map<number, HubCall>();
  readonly #lane = new Lane(MAX_GROUP_BYTES);
  #named = false;

  constructor(
    connection: HubConnection,
    group: number,
    ranks: readonly number[],
    clusters: readonly (readonly number[])[],
    onClosed: () => void,
  ) {
    this.connection = connection;
    this.group = group;
    this.clusters = clusters;
    this.#ranks = ranks;
    this.#onClosed = onClosed;
  }

  /** One call's folds; it has at most `slotBytes` at the hub at a time. To be closed when the call is done. */
  call(exchange: ChannelExchange, fingerprint: Fingerprint, slotBytes: number): HubCall {
    if (!this.#named) this.connection.tell({ type: "group", group: this.group, ranks: this.#ranks });
    this.#named = true;
    const bytes = Math.min(slotBytes, callBytes(fingerprint));
    const entered = this.#lane.enter(bytes) ?? Promise.resolve();
    const call = new HubCall(this, exchange, fingerprint, entered, () => {
      this.#calls.delete(exchange.sequence);
      void entered.then(() => this.#lane.leave(bytes));
    });
    this.#calls.set(exchange.sequence, call);
    return call;
  }

  deliver(header: Header, payload: Payload): void {
    this.#calls.get(header.sequence)?.deliver(header, payload);
  }

  /** The group is done. */
  close(): void {
    if (this.#named) this.connection.tell({ type: "group-end", group: this.group });
    this.#onClosed();
  }
}

/** The folds of one call. */
export class HubCall implements HubReduction {
  readonly #group: HubGroup;
  readonly #exchange: ChannelExchange;
  readonly #fingerprint: Fingerprint;
  /** Resolves when the call may start; rejects if it fails before. */
  readonly #started: Promise<void>;
  readonly #onClosed: () => void;
  readonly #pending = new Map<number, Pending>();
  #sent = false;

  constructor(
    group: HubGroup,
    exchange: ChannelExchange,
    fingerprint: Fingerprint,
    admitted: Promise<void>,
    onClosed: () => void,
  ) {
    this.#group = group;
    this.#exchange = exchange;
    this.#fingerprint = fingerprint;
    this.#onClosed = onClosed;
    this.#started = new Promise((resolve, reject) => {
      void admitted.then(resolve);
      exchange.whenFailed((error) => {
        reject(error);
        this.#fail(error);
      });
    });
    // A call that fails before it comes to its first slot tells so in its own way.
    this.#started.catch(() => {});
  }

  get clusters(): readonly (readonly number[])[] {
    return this.#group.clusters;
  }

  async combine(slot: number, part: Uint8Array | null, into: Uint8Array | null): Promise<void> {
    await this.#started;
    const { sequence, traffic } = this.#exchange;
    await new Promise<void>((resolve, reject) => {
      if (this.#exchange.error) {
        reject(this.#exchange.error);
        return;
      }
      this.#pending.set(slot, { into, resolve, reject });
      const header = encodeHeader(
        {
          ...{ kind: FrameKind.FOLD, flags: 0, peer: HUB_PEER, epoch: 0, slot, group: this.#group.group, sequence },
          payloadBytes: part?.byteLength ?? 0,
          request: (part ? FoldFlag.HAS_PART : 0) | (into ? FoldFlag.WANTS : 0),
        },
        this.#fingerprint,
      );
      this.#sent = true;
      traffic.messagesSent += 1;
      traffic.bytesSent += part?.byteLength ?? 0;
      this.#group.connection.sendFrame(header, part);
    });
  }

  /** @throws ProtocolError if the hub's answer is longer or shorter than this rank's room. */
  deliver({ slot }: Header, payload: Payload): void {
    const pending = this.#pending.get(slot);
    if (!pending) return;
    const { into } = pending;
    if (payload.byteLength !== (into?.byteLength ?? 0)) {
      throw new ProtocolError(`the hub sent ${payload.byteLength} bytes where ${into?.byteLength ?? 0} were due`);
    }
    this.#pending.delete(slot);
    if (into) payload.copyTo(into);
    const { traffic } = this.#exchange;
    this.#exchange.hasWritten = true;
    traffic.messagesReceived += 1;
    traffic.bytesReceived += payload.byteLength;
    pending.resolve();
  }

  /** The call is done, well or not. */
  close(): void {
    this.#onClosed();
  }

  /** Nothing is written any more, and the hub keeps nothing of this call. */
  #fail(error: WebcclError): void {
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
    if (this.#sent) {
      this.#group.connection.tell({ type: "cancel", group: this.#group.group, sequence: this.#exchange.sequence });
    }
  }
}

/** Bytes of a call's tensor; 0 where it has none. */
function callBytes({ dtype, count }: Fingerprint): number {
  const type = DATA_TYPES[dtype];
  return type === undefined ? 0 : count * bytesPerElement(type);
}
