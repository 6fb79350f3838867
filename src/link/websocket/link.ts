/**
 * A WebSocket link: a direct way to one peer, one message per frame. It reads only a frame's head and hands the payload
 * on as it comes, whatever socket the platform has.
 */

import { DamagedFrameError } from "../../wire/frame-sums.ts";
import type { Link, LinkReceiver, LinkSums, Socket } from "../link.ts";
import { FrameReader } from "../payload/frame-reader.ts";

/** A link over a socket whose handshake is done. */
export class WebSocketLink implements Link {
  readonly kind = "websocket";
  readonly #socket: Socket;
  readonly #sums: LinkSums | null;
  readonly #onError: (error: unknown) => void;

  /**
   * `onError` is called with the error of a frame that the receiver refused; the link then closes. `sums` is null on a
   * link without checksums.
   */
  constructor(socket: Socket, sums: LinkSums | null, onError: (error: unknown) => void) {
    this.#socket = socket;
    this.#sums = sums;
    this.#onError = onError;
  }

  send(header: Uint8Array, payload: Uint8Array | null, onSent?: () => void): void {
    const parts = payload ? [payload] : [];
    if (this.#sums) {
      const { sums, own, other } = this.#sums;
      sums.seal(header, parts, own, other);
    }
    this.#socket.send([header, ...parts], onSent);
  }

  start(receiver: LinkReceiver): void {
    this.#socket.onClose = () => receiver.onClose();
    const socket = this.#socket;
    const reader = new FrameReader((head, payload) => receiver.onFrame(head, payload), socket, this.#sums);
    let broken = false;
    const push = (bytes: Uint8Array, last: boolean) => {
      if (broken) return;
      try {
        reader.push(bytes, last);
      } catch (error) {
        broken = true;
        this.#onError(error);
        if (error instanceof DamagedFrameError) {
          // The other way may be whole: the receiver tells the peer, and the close follows that.
          receiver.onDamaged(error.message);
          socket.close(1002, "a damaged frame");
        } else socket.terminate();
      }
    };
    socket.streamTo({ push, room: () => (broken ? null : reader.room()) });
  }

  close(): void {
    this.#socket.close(1000, "goodbye");
  }
}
