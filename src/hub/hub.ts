/**
 * Hub: where the ranks of a group meet. It keeps the group's store, relays frames between ranks that have no direct
 * link, folds parts instead of relaying them where ranks ask for that, and says who was lost. It works over every
 * {@link Socket} that admission admits.
 *
 * Everything on a hub's link is a frame (docs/protocol.md). A frame for HUB_PEER is the hub's own: a part of a fold, a
 * store call or a goodbye. Any other goes to the rank of the same group that its `peer` field names. The hub overwrites
 * that field with the sender's rank, which it knows by the socket and never by the frame (S15).
 */

import { AdmissionError, ProtocolError } from "../errors.ts";
import type { ByteSink, Socket } from "../link/link.ts";
import { type FragmentsPayload, splitCheckedFrame, splitFrame, totalBytes } from "../link/payload/fragments.ts";
import { FrameCollector } from "../link/payload/frame-collector.ts";
import { MessageCollector } from "../link/payload/message-collector.ts";
import { CloseCode } from "../link/websocket/frame.ts";
import { DEFAULT_PEER_TIMEOUT_MS, type Logger } from "../options.ts";
import type { LiveSpace } from "../store/live-space.ts";
import { Account } from "../support/account.ts";
import { startQuietTimer, startTimer } from "../support/clock.ts";
import { timeLimitOf } from "../support/timeouts.ts";
import { encodeControl } from "../wire/control.ts";
import { carriedBytes, decodeHeader, FrameKind, HUB_PEER, peerOf, setPeer } from "../wire/frame.ts";
import { DamagedFrameError, FrameSums } from "../wire/frame-sums.ts";
import type { Hello, Welcome } from "../wire/handshake.ts";
import { hubFrameHeader } from "../wire/hub-frame.ts";
import { expectOneOf, expectString } from "../wire/schema.ts";
import { expectWireError } from "../wire/wire-error.ts";
import { RetryLaterError } from "./admission.ts";
import { ControlReader } from "./control-reader.ts";
import type { HubOptions, HubStats } from "./hub-options.ts";
import { Port } from "./port.ts";
import { quotasOf } from "./quotas.ts";
import { Reduction } from "./reduction.ts";
import { Relay } from "./relay.ts";
import type { Departure, Room, RoomOwner } from "./room.ts";
import { Rooms } from "./rooms.ts";

/** Largest message a hub takes from a member, and a member from a hub. */
export const DEFAULT_MAX_MESSAGE_BYTES = 16 * 2 ** 20;
const DEFAULT_HIGH_WATER_BYTES = 16 * 2 ** 20;
const DEFAULT_MAX_HUB_BYTES = 2 ** 30;
/** Most frames of one member that belong nowhere. */
const MAX_STRAY_FRAMES = 64;
const MEMBER_MESSAGES = ["call", "goodbye", "members", "group", "group-end", "cancel", "damaged", "checksums"] as const;
/** How long members may take to answer the hub's close. */
const CLOSE_GRACE_MS = 1_000;
const DEFAULT_LEFT_CLOSE_MS = 5_000;
/** How long the seat is kept of a rank that was cut off before it could say anything. */
const COMES_AGAIN_MS = 1_000;

const DISCARD: ByteSink = { push: () => {}, room: () => null };

/** A meeting place for groups. */
export class Hub {
  readonly #rooms: Rooms;
  readonly #ending = new Set<string>();
  readonly #sockets = new Set<Socket>();
  readonly #relay: Relay;
  readonly #sums: FrameSums;
  readonly #control = new ControlReader();
  readonly #maxMessageBytes: number;
  readonly #maxRankBytes: number;
  readonly #owner: RoomOwner;
  readonly #options: HubOptions;
  readonly #logger: Logger | undefined;
  readonly #onEvent: HubOptions["onEvent"];
  /** Of all that is kept here. */
  readonly account: Account;
  #droppedFrames = 0;
  #closed = false;
  #allClosed = () => {};

  constructor(options: HubOptions) {
    this.#options = options;
    this.#sums = new FrameSums(options.checksums);
    this.#logger = options.logger;
    this.#maxMessageBytes = options.maxMessageBytes ?? DEFAULT_MAX_MESSAGE_BYTES;
    const highWaterBytes = options.highWaterBytes ?? DEFAULT_HIGH_WATER_BYTES;
    // A rank that is paused at the high-water mark cannot reach it.
    this.#maxRankBytes = options.maxRankBytes ?? highWaterBytes + 3 * this.#maxMessageBytes;
    const maxHubBytes = options.maxHubBytes ?? DEFAULT_MAX_HUB_BYTES;
    const slowReaderMs = options.slowReaderMs ?? DEFAULT_PEER_TIMEOUT_MS;
    this.#relay = new Relay({ highWaterBytes, maxRankBytes: this.#maxRankBytes, maxHubBytes, slowReaderMs });
    this.account = new Account({ name: "this hub", limit: maxHubBytes });
    this.#owner = {
      account: this.account,
      quotas: quotasOf(options.quotas),
      makeReduction: (room) => this.#makeReduction(room),
      evictAll: (room, reason) => this.#evictAll(room, 1009, reason),
    };
    this.#onEvent = options.onEvent;
    this.#rooms = new Rooms(this.#owner, options.shared);
  }

  /** The contents of the store that others serve besides, if there is one. */
  get sharedSpace(): LiveSpace | null {
    return this.#rooms.sharedSpace;
  }

  get stats(): HubStats {
    let members = 0;
    for (const room of this.#rooms) members += room.members.size;
    const { bytesInFlight } = this.#relay;
    const bytesKept = this.account.held;
    return { rooms: this.#rooms.size, members, bytesInFlight, bytesKept, droppedFrames: this.#droppedFrames };
  }

  /**
   * Takes in a rank whose token or ticket is proved: the `accept` of admission.ts.
   * @throws AdmissionError with a reason for the rank: another world size, a rank taken or out of range.
   */
  accept(hello: Hello, socket: Socket, maxBytesInFlight: number | null = null): Welcome {
    const { group, worldSize, purpose } = hello;
    if (purpose === "link") throw new AdmissionError("this address is a hub, not a rank that takes direct links");
    if (hello.rank !== null && worldSize > 0 && hello.rank >= worldSize) {
      throw new AdmissionError(
        `rank ${hello.rank} is out of range: world size ${worldSize} has ranks 0 to ${worldSize - 1}`,
      );
    }
    if (this.#closed || this.#ending.has(group)) throw new RetryLaterError("this hub is closing");

    const { connections } = this.#owner.quotas;
    if (this.#sockets.size >= connections) {
      throw new RetryLaterError(`this hub has ${connections} connections, as many as it takes`);
    }
    const [room, rank] = this.#rooms.seat(hello);
    const port: Port = new Port(socket, rank, hello.checksums, room, {
      maxRankBytes: this.#maxRankBytes,
      maxMessageBytes: this.#maxMessageBytes,
      isFull: (to) => this.#relay.isFull(to),
      reply: (to, payload) => this.#guard(room, rank, to, () => this.#sendPayload([to], payload)),
      evict: (from, code, reason) => this.#evict(room, rank, from, code, reason),
      onHeld: (of, by, isHeld) =>
        this.#send(room.members.values(), { type: "held", rank: of.rank, by: by.rank, isHeld }),
    });
    port.maxBytesInFlight = maxBytesInFlight ?? Number.POSITIVE_INFINITY;
    room.members.set(rank, port);
    this.#sockets.add(socket);
    const onMessage = (fragments: readonly Uint8Array[]) => this.#onMessage(room, rank, port, fragments);
    const Collector = hello.checksums ? FrameCollector : MessageCollector;
    socket.streamTo(new Collector(onMessage, port.begun, this.#control.copy));
    socket.onClose = (code, reason) => {
      const text = `its connection closed (${code}${reason && ` ${reason}`})`;
      const isUnheard = code === CloseCode.ABNORMAL && !port.hasSpoken;
      this.#depart(room, port, { type: "lost", rank, reason: text }, isUnheard);
      port.account.close();
      this.#sockets.delete(socket);
      if (this.#sockets.size === 0) this.#allClosed();
    };
    const newcomer = room.isStore ? "a client came to store" : `rank ${rank} of ${room.seats} joined group`;
    this.#logger?.info(`hub: ${newcomer} ${JSON.stringify(group)}`);
    return { rank, worldSize, epoch: room.epoch, hostRank: this.#options.hostRank ?? null, checksums: hello.checksums };
  }

  /**
   * Resolves when every member of `group` has left, or after `timeoutMs`, if that is neither 0 nor Infinity. From now on the group takes nobody in: who
   * comes is told to try again, and finds the hub that follows this one.
   */
  async drained(group: string, timeoutMs: number): Promise<void> {
    const limitMs = timeLimitOf(timeoutMs, "drained: timeoutMs");
    this.#ending.add(group);
    const room = this.#rooms.find("hub", group);
    if (!room) return;
    await new Promise<void>((resolve) => {
      const timer = startTimer(limitMs, resolve);
      room.emptied.push(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  /** Closes every member's connection, and tells each why; takes no new ones. Resolves when all are closed. */
  close(reason = "hub closed"): Promise<void> {
    this.#closed = true;
    if (this.#sockets.size === 0) return Promise.resolve();
    for (const socket of this.#sockets) socket.close(1001, reason);
    return new Promise((resolve) => {
      const timer = startTimer(CLOSE_GRACE_MS, () => {
        for (const socket of this.#sockets) socket.terminate();
      });
      this.#allClosed = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  #onMessage(room: Room, rank: number, port: Port, fragments: readonly Uint8Array[]): void {
    if (!port.open) return;
    port.hasSpoken = true;
    const byteLength = totalBytes(fragments);
    if (byteLength > this.#maxMessageBytes) this.#evict(room, rank, port, 1009, "message too large");
    else this.#guard(room, rank, port, () => this.#onFrame(room, rank, port, fragments, byteLength));
  }

  /** Serves a member. Its fault, or a fault of ours in serving it, must not end the other groups. */
  #guard(room: Room, rank: number, port: Port, serve: () => void): void {
    try {
      serve();
    } catch (error) {
      this.#logger?.warn(`hub: a frame of rank ${rank} of group ${JSON.stringify(room.group)} was refused`, error);
      if (error instanceof DamagedFrameError) {
        this.#onDamaged(room, rank, port, error.message);
        return;
      }
      const theirs = error instanceof ProtocolError;
      this.#evict(room, rank, port, theirs ? 1002 : 1011, theirs ? "protocol error" : "internal error");
    }
  }

  #onFrame(room: Room, rank: number, port: Port, fragments: readonly Uint8Array[], byteLength: number): void {
    const { head, payload } = port.checksums
      ? splitCheckedFrame(fragments, this.#sums, (bytes) => [rank, peerOf(bytes)])
      : splitFrame(fragments);
    const header = decodeHeader(head);
    if (carriedBytes(header) !== payload.byteLength) {
      throw new ProtocolError(`a frame declares ${carriedBytes(header)} bytes and has ${payload.byteLength}`);
    }
    if (room.isStore && header.peer !== HUB_PEER) throw new ProtocolError("a client of a store has no peers");
    if (header.peer === HUB_PEER && header.kind === FrameKind.FOLD) {
      if (room.isStore || !room.reduction.arrive(rank, header, head, payload)) this.#drop(port);
      return;
    }
    if (header.peer === HUB_PEER) {
      this.#onControl(room, rank, port, header.kind, payload);
      return;
    }
    const to = room.members.get(header.peer);
    // What members say of the epoch to come crosses from one to the next.
    const isOfNow = header.epoch === room.epoch || (header.group === 0 && header.epoch < room.epoch);
    if (!to || !isOfNow || header.peer === rank) {
      // Peers may send to a rank that has gone, or of an epoch that has ended, until they hear of it.
      if ((room.departed.has(header.peer) || to) && header.epoch <= room.epoch && header.peer !== rank) {
        this.#droppedFrames++;
      } else this.#drop(port);
      return;
    }
    // The receiver would take a bad frame for damage on its own connection.
    if (to.checksums && !port.checksums) this.#sums.check(head, payload.fragments, rank, header.peer);
    setPeer(head, rank);
    const excess = this.#relay.forward(port, to, [head, ...payload.fragments], byteLength);
    if (excess) this.#evict(room, rank, port, 1009, excess);
  }

  /** A member's connection changed bytes, one way or the other: all are told, that member too. */
  #onDamaged(room: Room, rank: number, port: Port, seen: string): void {
    const hearers = room.isStore ? [port] : room.members.values();
    this.#send(hearers, { type: "damaged", rank, seen });
    this.#evict(room, rank, port, 1002, "a damaged frame");
  }

  /** A frame that belongs nowhere (S14). */
  #drop(port: Port): void {
    this.#droppedFrames++;
    port.strayFrames++;
    if (port.strayFrames > MAX_STRAY_FRAMES)
      throw new ProtocolError("too many frames for ranks or groups there are not");
  }

  #makeReduction(room: Room): Reduction {
    return new Reduction({
      executor: this.#options.executor,
      slotLifeMs: this.#options.slotLifeMs,
      seats: () => room.seats,
      hold: (rank, byteLength, kind) => {
        const account = room.members.get(rank)?.[kind];
        account?.charge(byteLength);
        return () => account?.release(byteLength);
      },
      sealPayload: (header, payload) => {
        const isWanted = [...room.members.values()].some(({ checksums }) => checksums);
        if (isWanted) this.#sums.sealPayload(header, payload);
      },
      send: (rank, header, payload, onSent) => {
        const port = room.members.get(rank);
        if (port) this.#post(port, header, payload, onSent);
        else onSent();
      },
    });
  }

  /** Ends one member's connection for what it did; the others are told at once. */
  #evict(room: Room, rank: number, port: Port, code: number, reason: string): void {
    if (port.open) this.#onEvent?.({ event: "evicted", group: room.group, rank, code, reason });
    this.#depart(room, port, { type: "lost", rank, reason: `the hub closed its connection: ${reason}` });
    port.socket.close(code, reason);
  }

  #evictAll(room: Room, code: number, reason: string): void {
    for (const [rank, port] of [...room.members]) this.#evict(room, rank, port, code, reason);
  }

  #onControl(room: Room, rank: number, port: Port, kind: number, payload: FragmentsPayload): void {
    if (kind !== FrameKind.CONTROL) throw new ProtocolError(`a frame of kind ${kind} is not for a hub`);
    const message = this.#control.read(payload);
    if (room.isStore) expectOneOf(message, "type", ["call", "goodbye", "damaged"]);
    switch (expectOneOf(message, "type", MEMBER_MESSAGES)) {
      case "call":
        port.calls.take(message, payload.byteLength);
        break;
      case "goodbye": {
        const cause = message.cause === undefined || message.cause === null ? null : expectWireError(message.cause);
        this.#depart(room, port, { type: "left", rank, cause });
        startQuietTimer(this.#options.leftCloseMs ?? DEFAULT_LEFT_CLOSE_MS, () => port.socket.close(1000, "goodbye"));
        break;
      }
      case "checksums":
        this.#send([port], { type: "checksums" });
        port.checksums = true;
        break;
      case "damaged":
        this.#onDamaged(room, rank, port, expectString(message, "seen"));
        break;
      case "members":
        for (const other of room.begin(rank, message) ?? []) {
          const evicted = room.members.get(other);
          if (evicted) this.#evict(room, other, evicted, 1008, `epoch ${room.epoch} goes on without it`);
        }
        break;
      case "group":
        room.reduction.name(rank, message);
        break;
      case "group-end":
        room.reduction.end(rank, message);
        break;
      case "cancel":
        room.reduction.cancel(rank, message);
        break;
    }
  }

  /** `isUnheard`: it was cut off before it could say anything, may not have heard its welcome, and comes again then. */
  #depart(room: Room, port: Port, departure: Departure, isUnheard = false): void {
    if (!port.open) return;
    const { type, rank } = departure;
    const gone = { group: room.group, rank };
    this.#onEvent?.(type === "left" ? { event: type, ...gone } : { event: type, ...gone, reason: departure.reason });
    this.#relay.remove(port);
    // Nor is what it still sends collected.
    port.socket.streamTo(DISCARD);
    room.reduction.depart(departure.rank);
    room.members.delete(departure.rank);
    room.waiting.delete(departure.rank);
    if (isUnheard) startQuietTimer(COMES_AGAIN_MS, () => this.#missUnheard(room, departure));
    else if (!room.isStore) this.#tellOfDeparture(room, departure);
    if (room.members.size > 0) {
      // Nobody is left who could let these in.
      if (room.members.size > room.waiting.size) return;
      this.#evictAll(room, 1001, "the group has ended");
      return;
    }
    this.#rooms.close(room);
  }

  #missUnheard(room: Room, departure: Departure): void {
    const { rank } = departure;
    if (!room.isStore && !room.members.has(rank) && !room.departed.has(rank)) this.#tellOfDeparture(room, departure);
  }

  #tellOfDeparture(room: Room, departure: Departure): void {
    room.departed.set(departure.rank, departure.type);
    const { rank } = departure;
    const told = departure.type === "left" && departure.cause === null ? { type: "left", rank } : departure;
    this.#send(room.members.values(), told);
    this.#logger?.info(
      `hub: rank ${departure.rank} ${departure.type === "left" ? "left" : "was lost from"} group ${JSON.stringify(room.group)}`,
    );
  }

  /** The hub's own messages count as the receivers': the hub does not read a rank that does not read its answers. */
  #send(ports: Iterable<Port>, message: object): void {
    this.#sendPayload(ports, [encodeControl(message)]);
  }

  #sendPayload(ports: Iterable<Port>, payload: readonly Uint8Array[]): void {
    const header = hubFrameHeader(totalBytes(payload));
    for (const port of ports) {
      if (!port.open) continue;
      const own = header.slice();
      if (port.checksums) this.#sums.sealPayload(own, payload);
      this.#post(port, own, payload);
    }
  }

  /** Sends a frame of the hub's own, whose payload has its checksum already. */
  #post(port: Port, header: Uint8Array, payload: readonly Uint8Array[], onSent: () => void = () => {}): void {
    if (port.checksums) this.#sums.sealHead(header, HUB_PEER, port.rank);
    const parts = [header, ...payload];
    const excess = this.#relay.forward(port, port, parts, totalBytes(parts), onSent);
    if (!excess) return;
    // It reads nothing, a close neither.
    port.socket.terminate();
    onSent();
  }
}
