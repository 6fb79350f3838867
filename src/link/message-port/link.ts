/**
 * A message-port link: a direct way to another tab of the same browser. Each frame is one message, whose bytes change hands
 * without a copy: the sender puts head and payload into a buffer of the frame's own, which then is the receiver's.
 *
 * No browser tells when the other tab ends: who introduced the two says so (`ended`). The last message says goodbye.
 */
import { ProtocolError } from "../../errors.ts";
import type { Link, LinkReceiver } from "../link.ts";
import { splitFrame } from "../payload/fragments.ts";

/** The last message. */
const GOODBYE = null;

/** One tab's end of a link. */
export class MessagePortLink implements Link {
  readonly kind = "message-port";
  readonly #port: MessagePort;
  readonly #onError: (error: unknown) => void;
  #receiver: LinkReceiver | null = null;
  #isClosing = false;
  /** The peer said goodbye or has ended. */
  #hasEnded = false;

  /** `onError` is called with the error of a frame that the receiver refused; the link then closes. */
  constructor(port: MessagePort, onError: (error: unknown) => void) {
    this.#port = port;
    this.#onError = onError;
  }

  /** The bytes are copied at once; what may be under way is bounded by what the peer acknowledges (messaging/peer.ts). */
  send(header: Uint8Array, payload: Uint8Array | null, onSent?: () => void): void {
    if (!this.#isClosing && !this.#hasEnded) {
      const frame = new Uint8Array(header.byteLength + (payload?.byteLength ?? 0));
      frame.set(header);
      if (payload) frame.set(payload, header.byteLength);
      this.#port.postMessage(frame.buffer, [frame.buffer]);
    }
    onSent?.();
  }

  start(receiver: LinkReceiver): void {
    this.#receiver = receiver;
    // What came before waits in the port until now.
    this.#port.onmessage = ({ data }: MessageEvent<ArrayBuffer | typeof GOODBYE>) => this.#take(data);
    if (this.#hasEnded) queueMicrotask(() => receiver.onClose());
  }

  close(): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    if (this.#hasEnded) this.#port.close();
    else this.#port.postMessage(GOODBYE);
  }

  /** The peer's tab is gone. */
  ended(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    if (!this.#isClosing) this.#receiver?.onClose();
    this.#port.close();
  }

  #take(message: ArrayBuffer | typeof GOODBYE): void {
    if (this.#hasEnded) return;
    if (message === GOODBYE) {
      this.ended();
      return;
    }
    try {
      if (!(message instanceof ArrayBuffer)) throw new ProtocolError("a message of another tab is no frame");
      const { head, payload } = splitFrame([new Uint8Array(message)]);
      this.#receiver?.onFrame(head, payload);
    } catch (error) {
      this.#onError(error);
      this.#port.postMessage(GOODBYE);
      this.ended();
    }
  }
}
