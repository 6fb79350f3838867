/**
 * A WebSocket link: a direct way to one peer, one message per frame. It reads only a frame's head and hands the payload
 * on as it comes, whatever socket the platform has.
 */

import type { Link, LinkReceiver, Socket } from "../link.ts";
import { FrameReader } from "../payload/frame-reader.ts";

/** A link over a socket whose handshake is done. */
export class WebSocketLink implements Link {
  readonly kind = "websocket";
  readonly #socket: Socket;
  readonly #onError: (error: unknown) => void;

  /** `onError` is called with the error of a frame that the receiver refused; the link then closes. */
  constructor(socket: Socket, onError: (error: unknown) => void) {
    this.#socket = socket;
    this.#onError = onError;
  }

  send(header: Uint8Array, payload: Uint8Array | null, onSent?: () => void): void {
    this.#socket.send(payload ? [header, payload] : [header], onSent);
  }

  start(receiver: LinkReceiver): void {
    this.#socket.onClose = () => receiver.onClose();
    const socket = this.#socket;
    const reader = new FrameReader((head, payload) => receiver.onFrame(head, payload), socket);
    const push = (bytes: Uint8Array, last: boolean) => {
      try {
        reader.push(bytes, last);
      } catch (error) {
        this.#onError(error);
        socket.terminate();
      }
    };
    socket.streamTo({ push, room: () => reader.room() });
  }

  close(): void {
    this.#socket.close(1000, "goodbye");
  }
}
