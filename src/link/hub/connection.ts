/**
 * HubConnection: a rank's side of its link to a hub, over a socket that the handshake has let in. It makes store calls,
 * carries frames to and from ranks that have no direct link, and hears of ranks that are gone.
 */

import {
  fromWireError,
  HubLostError,
  type IntegrityError,
  ProtocolError,
  TimeoutError,
  toWireError,
  type WebcclError,
  type WireError,
} from "../../errors.ts";
import { startTimer, type Timer } from "../../support/clock.ts";
import { textOf } from "../../support/thrown.ts";
import { decodeControl } from "../../wire/control.ts";
import { decodeHeader, FrameKind, type Header, HUB_PEER, peerOf } from "../../wire/frame.ts";
import { DamagedFrameError, type FrameSums } from "../../wire/frame-sums.ts";
import type { Welcome } from "../../wire/handshake.ts";
import { encodeHubFrame } from "../../wire/hub-frame.ts";
import { expectFields, expectInteger, expectOneOf, expectString } from "../../wire/schema.ts";
import { expectWireError } from "../../wire/wire-error.ts";
import type { Payload, Socket } from "../link.ts";
import { hubDamage } from "../payload/damage.ts";
import { type FragmentsPayload, splitCheckedFrame, splitFrame } from "../payload/fragments.ts";
import { FrameCollector } from "../payload/frame-collector.ts";

/** Told of all that arrives, once {@link HubConnection.start} was called. */
export interface HubReceiver {
  /** A frame another rank sent; its `peer` field is that rank. `header` has the fingerprint behind it where there is one. */
  onFrame(header: Uint8Array, payload: FragmentsPayload): void;
  /** The hub's answer to a fold. */
  onFold(header: Header, payload: Payload): void;
  /** The connection between `rank`, which may be this one, and the hub delivered a frame otherwise than it was sent. */
  onDamaged(rank: number, seen: string): void;
  /** From now on the hub reads nothing of `rank`, which may be this one, because rank `by` is slow; or does so again. */
  onHeld?(rank: number, by: number, isHeld: boolean): void;
  /** `rank` is gone without a goodbye. */
  onLost(rank: number, reason: string): void;
  /** `rank` said goodbye, because of `cause` if there is one. Nothing more comes from it. */
  onLeft(rank: number, cause: WireError | null): void;
  /** The link is closed, by either side. Called once, and last. */
  onClosed(code: number, reason: string): void;
}

/** Codes of a close that a program makes at its end, of one without a code, and of a connection that broke. */
const ENDINGS: readonly number[] = [1000, 1001, 1005, 1006];

interface PendingCall {
  resolve(value: unknown): void;
  reject(error: WebcclError): void;
  timer: Timer;
}

/** A link to a hub. */
export class HubConnection {
  readonly url: string;
  readonly welcome: Welcome;
  readonly #socket: Socket;
  /** Of the frames that this rank sends, and of those that come. */
  #sealing: FrameSums | null;
  #checking: FrameSums | null;
  readonly #calls = new Map<number, PendingCall>();
  #nextId = 0;
  #receiver: HubReceiver | null = null;
  #watcher: HubReceiver | null = null;
  #waiting: ((receiver: HubReceiver) => void)[] = [];
  #saidGoodbye = false;
  /** What was seen when this connection was found to be damaged. */
  #damage: string | null = null;
  #closed: HubLostError | IntegrityError | null = null;
  /** Why one end gave the connection up while the other may have lived; null if it was not so. */
  givenUp: string | null = null;

  /** `sums` is null if the frames have no checksums. */
  constructor(socket: Socket, welcome: Welcome, url: string, sums: FrameSums | null = null) {
    this.#socket = socket;
    this.#sealing = sums;
    this.#checking = sums;
    this.welcome = welcome;
    this.url = url;
    const onMessage = (fragments: readonly Uint8Array[]) => this.#onMessage(fragments);
    if (sums) socket.streamTo(new FrameCollector(onMessage));
    else socket.onMessage = onMessage;
    socket.onClose = (code, reason) => this.#onClose(code, reason);
  }

  /** Tells `watcher` what comes before {@link start}, and has come so far; the receiver is told it all once more. */
  watch(watcher: HubReceiver): void {
    this.#watcher = watcher;
    for (const event of this.#waiting) event(watcher);
  }

  /** Have all frames of this connection checksums, those that are under way apart? */
  get hasChecksums(): boolean {
    return this.#sealing !== null;
  }

  /** `sums` computes the checksums from here on, where there are any. */
  replaceChecksums(sums: FrameSums): void {
    if (this.#sealing) this.#sealing = sums;
    if (this.#checking) this.#checking = sums;
  }

  /** From here on the frames of this connection have checksums, where they had none. */
  startChecksums(sums: FrameSums): void {
    this.tell({ type: "checksums" });
    this.#sealing = sums;
  }

  get isClosed(): boolean {
    return this.#closed !== null;
  }

  /** Starts delivery; all that came before is delivered now, in order. */
  start(receiver: HubReceiver): void {
    this.#receiver = receiver;
    this.#watcher = null;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const event of waiting) this.#guard(() => event(receiver));
  }

  /**
   * Makes a store call at the hub.
   * @throws the error the store answered with; TimeoutError if no answer came; HubLostError if the link closed, or
   *   IntegrityError if it changed bytes.
   */
  call(op: string, args: readonly unknown[], timeoutMs: number): Promise<unknown> {
    if (this.#closed) return Promise.reject(this.#closed);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      // May throw a TypeError for the caller, and must do so before anything is pending.
      const parts = encodeHubFrame({ type: "call", id, op, args });
      const timer = startTimer(timeoutMs, () => {
        this.#calls.delete(id);
        reject(new TimeoutError(`the hub at ${this.url} did not answer ${op} within ${timeoutMs} ms`));
      });
      this.#calls.set(id, { resolve, reject, timer });
      this.#send(parts);
    });
  }

  /** Sends a frame to the rank in its `peer` field. Neither part may change until `onSent` is called. */
  sendFrame(header: Uint8Array, payload: Uint8Array | null, onSent?: () => void): void {
    this.#send(payload === null ? [header] : [header, payload], onSent);
  }

  /** Sends the hub a message to which no answer comes. */
  tell(message: { type: "group" | "group-end" | "cancel" | "checksums" | "members"; [field: string]: unknown }): void {
    if (!this.#closed && !this.#saidGoodbye) this.#send(encodeHubFrame(message));
  }

  /** Tells the hub, and so every rank, that this one leaves; the close that follows is then no loss. */
  goodbye(cause?: WebcclError): void {
    if (this.#saidGoodbye || this.#closed) return;
    this.#saidGoodbye = true;
    this.#send(encodeHubFrame({ type: "goodbye", cause: cause ? toWireError(cause) : null }));
  }

  /** Sends the buffered bytes, then closes. */
  close(): void {
    this.#socket.close(1000);
  }

  /** Closes at once. */
  terminate(): void {
    this.#socket.terminate();
  }

  #send([header, ...payload]: [header: Uint8Array, ...payload: Uint8Array[]], onSent?: () => void): void {
    this.#sealing?.seal(header, payload, this.welcome.rank, peerOf(header));
    this.#socket.send([header, ...payload], onSent);
  }

  #emit(event: (receiver: HubReceiver) => void): void {
    const hears = this.#receiver ?? this.#watcher;
    if (!this.#receiver) this.#waiting.push(event);
    if (hears) event(hears);
  }

  #onMessage(fragments: readonly Uint8Array[]): void {
    if (!this.#closed) this.#guard(() => this.#onFrame(fragments));
  }

  /** Takes something of the hub; whatever is thrown over it ends the link. */
  #guard(take: () => void): void {
    try {
      take();
    } catch (error) {
      const isDamaged = error instanceof DamagedFrameError;
      const text = textOf(error);
      if (isDamaged) {
        this.#onDamaged(this.welcome.rank, text);
        // The hub tells the others, those too whose groups this rank has not made yet.
        this.#send(encodeHubFrame({ type: "damaged", seen: text }));
      }
      this.#onClose(1002, isDamaged ? "a damaged frame" : text);
      this.#socket.close(1002, isDamaged ? "a damaged frame" : "protocol error");
    }
  }

  #onFrame(fragments: readonly Uint8Array[]): void {
    const { head, payload } = this.#split(fragments);
    const header = decodeHeader(head);
    if (header.peer !== HUB_PEER) {
      this.#emit((receiver) => receiver.onFrame(head, payload));
    } else if (header.kind === FrameKind.CONTROL) {
      this.#onControl(payload);
    } else if (header.kind === FrameKind.FOLD) {
      this.#emit((receiver) => receiver.onFold(header, payload));
    } else {
      throw new ProtocolError(`the hub sent a frame of kind ${header.kind} of its own`);
    }
  }

  #split(fragments: readonly Uint8Array[]): ReturnType<typeof splitFrame> {
    if (!this.#checking) return splitFrame(fragments);
    return splitCheckedFrame(fragments, this.#checking, (head) => [peerOf(head), this.welcome.rank]);
  }

  #onControl(payload: FragmentsPayload): void {
    const message = expectFields(decodeControl(payload.toBytes()));
    const type = expectOneOf(message, "type", ["result", "held", "lost", "left", "damaged", "checksums"]);
    if (type === "checksums") {
      // The hub has come to that point: all that follows has them.
      this.#checking = this.#sealing;
      return;
    }
    if (type === "result") {
      const id = expectInteger(message, "id", 0, Number.MAX_SAFE_INTEGER);
      const call = this.#calls.get(id);
      if (!call) return;
      const error = Object.hasOwn(message, "error") ? fromWireError(expectWireError(message.error)) : null;
      this.#calls.delete(id);
      call.timer.cancel();
      if (error) call.reject(error);
      else call.resolve(message.ok);
      return;
    }
    const rank = expectInteger(message, "rank", 0, HUB_PEER - 1);
    if (type === "damaged") {
      this.#onDamaged(rank, expectString(message, "seen"));
    } else if (type === "held") {
      const by = expectInteger(message, "by", 0, HUB_PEER - 1);
      this.#emit((receiver) => receiver.onHeld?.(rank, by, message.isHeld === true));
    } else if (type === "lost") {
      const reason = expectString(message, "reason");
      this.#emit((receiver) => receiver.onLost(rank, reason));
    } else {
      const cause = message.cause === undefined || message.cause === null ? null : expectWireError(message.cause);
      this.#emit((receiver) => receiver.onLeft(rank, cause));
    }
  }

  #onDamaged(rank: number, seen: string): void {
    if (rank === this.welcome.rank) this.#damage = seen;
    this.#emit((receiver) => receiver.onDamaged(rank, seen));
  }

  #onClose(code: number, reason: string): void {
    if (this.#closed) return;
    const text = `the link to the hub at ${this.url} closed (${code}${reason && ` ${reason}`})`;
    // One that was silent for too long has no code of its own.
    if (!ENDINGS.includes(code) || (code === 1006 && reason !== "")) this.givenUp = reason;
    this.#closed =
      this.#damage === null
        ? new HubLostError(text, { url: this.url })
        : hubDamage(null, this.welcome.rank, this.url, this.#damage);
    for (const { reject, timer } of this.#calls.values()) {
      timer.cancel();
      reject(this.#closed);
    }
    this.#calls.clear();
    this.#emit((receiver) => receiver.onClosed(code, reason));
  }
}
