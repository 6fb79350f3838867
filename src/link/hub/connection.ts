/**
 * HubConnection: a rank's side of its link to a hub, over a socket that the handshake has let in. It makes store calls,
 * carries frames to and from ranks that have no direct link, and hears of ranks that are gone.
 */

import {
  fromWireError,
  HubLostError,
  ProtocolError,
  TimeoutError,
  toWireError,
  type WebcclError,
  type WireError,
} from "../../errors.ts";
import { startTimer, type Timer } from "../../support/clock.ts";
import { decodeControl } from "../../wire/control.ts";
import { decodeHeader, FrameKind, type Header, HUB_PEER } from "../../wire/frame.ts";
import type { Welcome } from "../../wire/handshake.ts";
import { encodeHubFrame } from "../../wire/hub-frame.ts";
import { expectFields, expectInteger, expectOneOf, expectString } from "../../wire/schema.ts";
import { expectWireError } from "../../wire/wire-error.ts";
import type { Payload, Socket } from "../link.ts";
import { type FragmentsPayload, splitFrame } from "../payload/fragments.ts";

/** Told of all that arrives, once {@link HubConnection.start} was called. */
export interface HubReceiver {
  /** A frame another rank sent; its `peer` field is that rank. `header` has the fingerprint behind it where there is one. */
  onFrame(header: Uint8Array, payload: Payload): void;
  /** The hub's answer to a fold. */
  onFold(header: Header, payload: Payload): void;
  /** `rank` is gone without a goodbye. */
  onLost(rank: number, reason: string): void;
  /** `rank` said goodbye, because of `cause` if there is one. Nothing more comes from it. */
  onLeft(rank: number, cause: WireError | null): void;
  /** The link is closed, by either side. Called once, and last. */
  onClosed(code: number, reason: string): void;
}

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
  readonly #calls = new Map<number, PendingCall>();
  #nextId = 0;
  #receiver: HubReceiver | null = null;
  #waiting: ((receiver: HubReceiver) => void)[] = [];
  #saidGoodbye = false;
  #closed: HubLostError | null = null;

  constructor(socket: Socket, welcome: Welcome, url: string) {
    this.#socket = socket;
    this.welcome = welcome;
    this.url = url;
    socket.onMessage = (fragments) => this.#onMessage(fragments);
    socket.onClose = (code, reason) => this.#onClose(code, reason);
  }

  /** Starts delivery; all that came before is delivered now, in order. */
  start(receiver: HubReceiver): void {
    this.#receiver = receiver;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const event of waiting) this.#guard(() => event(receiver));
  }

  /**
   * Makes a store call at the hub.
   * @throws the error the store answered with; TimeoutError if no answer came; HubLostError if the link closed.
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
      this.#socket.send(parts);
    });
  }

  /** Sends a frame to the rank in its `peer` field. Neither part may change until `onSent` is called. */
  sendFrame(header: Uint8Array, payload: Uint8Array | null, onSent?: () => void): void {
    this.#socket.send(payload === null ? [header] : [header, payload], onSent);
  }

  /** Sends the hub a message to which no answer comes. */
  tell(message: { type: "group" | "group-end" | "cancel"; [field: string]: unknown }): void {
    if (!this.#closed && !this.#saidGoodbye) this.#socket.send(encodeHubFrame(message));
  }

  /** Tells the hub, and so every rank, that this one leaves; the close that follows is then no loss. */
  goodbye(cause?: WebcclError): void {
    if (this.#saidGoodbye || this.#closed) return;
    this.#saidGoodbye = true;
    this.#socket.send(encodeHubFrame({ type: "goodbye", cause: cause ? toWireError(cause) : null }));
  }

  /** Sends the buffered bytes, then closes. */
  close(): void {
    this.#socket.close(1000);
  }

  /** Closes at once. */
  terminate(): void {
    this.#socket.terminate();
  }

  #emit(event: (receiver: HubReceiver) => void): void {
    if (this.#receiver) event(this.#receiver);
    else this.#waiting.push(event);
  }

  #onMessage(fragments: readonly Uint8Array[]): void {
    if (!this.#closed) this.#guard(() => this.#onFrame(fragments));
  }

  /** Takes something of the hub; whatever is thrown over it ends the link. */
  #guard(take: () => void): void {
    try {
      take();
    } catch (error) {
      this.#onClose(1002, error instanceof Error ? error.message : String(error));
      this.#socket.close(1002, "protocol error");
    }
  }

  #onFrame(fragments: readonly Uint8Array[]): void {
    const { head, payload } = splitFrame(fragments);
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

  #onControl(payload: FragmentsPayload): void {
    const message = expectFields(decodeControl(payload.toBytes()));
    const type = expectOneOf(message, "type", ["result", "lost", "left"]);
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
    if (type === "lost") {
      const reason = expectString(message, "reason");
      this.#emit((receiver) => receiver.onLost(rank, reason));
    } else {
      const cause = message.cause === undefined || message.cause === null ? null : expectWireError(message.cause);
      this.#emit((receiver) => receiver.onLeft(rank, cause));
    }
  }

  #onClose(code: number, reason: string): void {
    if (this.#closed) return;
    const text = `the link to the hub at ${this.url} closed (${code}${reason && ` ${reason}`})`;
    this.#closed = new HubLostError(text, { url: this.url });
    for (const { reject, timer } of this.#calls.values()) {
      timer.cancel();
      reject(this.#closed);
    }
    this.#calls.clear();
    this.#emit((receiver) => receiver.onClosed(code, reason));
  }
}
