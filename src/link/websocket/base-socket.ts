/**
 * BaseSocket: the half that the sockets of all runtimes have in common. A message or a close that comes while nobody
 * listens, as may happen between two owners (the handshake, then the mesh), waits for the next listener.
 */
import type { ByteSink, Socket } from "../link.ts";
import { totalBytes } from "../payload/fragments.ts";

/** Most bytes that wait for a listener; a rank sends less to a peer that does not listen yet. What a message costs besides. */
const MAX_WAITING_BYTES = 2 ** 25;
const MESSAGE_BYTES = 128;

/** Implements the receiving half of {@link Socket}; a runtime adds the sending half. */
export abstract class BaseSocket implements Socket {
  #onMessage: Socket["onMessage"] | null = null;
  #onClose: Socket["onClose"] | null = null;
  #sink: ByteSink | null = null;
  #waiting: (readonly Uint8Array[])[] = [];
  #waitingBytes = 0;
  #flushing = false;
  #closed: { code: number; reason: string } | null = null;
  #closeTold = false;

  abstract send(parts: readonly Uint8Array[], onSent?: () => void): void;
  abstract readonly bufferedBytes: number;
  abstract pause(): void;
  abstract resume(): void;
  abstract close(code?: number, reason?: string): void;
  abstract terminate(): void;

  get isClosed(): boolean {
    return this.#closed !== null && this.#waiting.length === 0;
  }

  get onMessage(): Socket["onMessage"] {
    return this.#onMessage ?? ignore;
  }

  /** Messages that waited are handed over in a microtask, so that the owner can finish setting up. */
  set onMessage(listener: Socket["onMessage"]) {
    this.#onMessage = listener;
    this.#scheduleFlush();
  }

  get onClose(): Socket["onClose"] {
    return this.#onClose ?? ignore;
  }

  set onClose(listener: Socket["onClose"]) {
    this.#onClose = listener;
    this.#scheduleFlush();
  }

  streamTo(sink: ByteSink): void {
    this.#sink = sink;
    this.onMessage = (fragments) => {
      for (const [i, fragment] of fragments.entries()) sink.push(fragment, i === fragments.length - 1);
      if (fragments.length === 0) sink.push(NOTHING, true);
    };
  }

  /** A socket that reads into no room has nothing to withdraw. */
  withdrawRoom(): void {}

  /** Ends the present owner's listening: from here on messages wait for the next. */
  release(): void {
    this.#sink = null;
    this.#onMessage = null;
    this.#onClose = null;
  }

  /** To be called with each message that arrived. */
  protected deliver(fragments: readonly Uint8Array[]): void {
    if (this.#onMessage && this.#waiting.length === 0 && !this.#flushing) this.#onMessage(fragments);
    else {
      this.#waiting.push(fragments);
      this.#waitingBytes += MESSAGE_BYTES + totalBytes(fragments);
      if (this.#waitingBytes <= MAX_WAITING_BYTES) return;
      this.#waiting.length = 0;
      this.terminate();
    }
  }

  /**
   * To be called with the next bytes of a message. False if nobody takes them yet: the caller then keeps them until the
   * message is whole.
   */
  protected deliverBytes(bytes: Uint8Array, last: boolean): boolean {
    if (!this.#sink || this.#waiting.length > 0 || this.#flushing) return false;
    this.#sink.push(bytes, last);
    return true;
  }

  /** Where the next bytes of the message under way belong, or null. */
  protected roomForBytes(): Uint8Array | null {
    return this.#sink && this.#waiting.length === 0 && !this.#flushing ? this.#sink.room() : null;
  }

  /** To be called once, when nothing more can arrive. */
  protected deliverClose(code: number, reason: string): void {
    if (this.#closed) return;
    this.#closed = { code, reason };
    if (!this.#flushing) this.#flush();
  }

  #scheduleFlush(): void {
    if (this.#flushing || (this.#waiting.length === 0 && !this.#closed)) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (this.#onMessage) {
      const message = this.#waiting.shift();
      if (!message) break;
      this.#onMessage(message);
    }
    if (this.#waiting.length === 0) this.#waitingBytes = 0;
    if (this.#closed && !this.#closeTold && this.#waiting.length === 0 && this.#onClose) {
      this.#closeTold = true;
      this.#onClose(this.#closed.code, this.#closed.reason);
    }
  }
}

const NOTHING = new Uint8Array(0);

function ignore(): void {}
