/** The WebSocket that is built into browsers and Deno. */
import type { ConnectOptions, Hello, Welcome } from "../platform.ts";
import { BaseSocket } from "../transport/base-socket.ts";
import { aborted, connect, NotThere } from "../transport/connect.ts";
import { totalBytes } from "../transport/fragments.ts";
import type { Socket } from "../transport/transport.ts";

/** Bytes the runtime may hold before `onSent` is held back, and how often they are looked at then. */
const LOW_WATER_BYTES = 2 ** 20;
const POLL_MS = 2;

/** {@link connect} over the built-in WebSocket. */
export function connectWebSocket(
  url: string,
  hello: Hello,
  options: ConnectOptions,
): Promise<{ socket: Socket; welcome: Welcome }> {
  return connect(open, url, hello, options);
}

/**
 * A built-in WebSocket as a {@link BaseSocket}. It takes one buffer a message and copies it at once, so the parts are
 * joined first (shared memory must be copied anyway: `send` refuses it), and `onSent` waits only for room. It cannot be
 * paused: what may come is bounded by the peers' eager budgets.
 */
export class BuiltInSocket extends BaseSocket {
  readonly #ws: WebSocket;
  #waiting: (() => void)[] = [];
  #polling = false;

  /** `ws` must be open. */
  constructor(ws: WebSocket) {
    super();
    this.#ws = ws;
    ws.binaryType = "arraybuffer";
    ws.onmessage = ({ data }) => {
      if (data instanceof ArrayBuffer) this.deliver([new Uint8Array(data)]);
      else ws.close(3003, "binary messages only");
    };
    ws.onclose = ({ code, reason }) => this.deliverClose(code, reason);
  }

  get bufferedBytes(): number {
    return this.#ws.bufferedAmount;
  }

  send(parts: readonly Uint8Array[], onSent?: () => void): void {
    const message = new Uint8Array(totalBytes(parts));
    let at = 0;
    for (const part of parts) {
      message.set(part, at);
      at += part.byteLength;
    }
    if (this.#ws.readyState === WebSocket.OPEN) this.#ws.send(message);
    if (!onSent) return;
    this.#waiting.push(onSent);
    this.#release();
  }

  pause(): void {}

  resume(): void {}

  close(code = 1000, reason = ""): void {
    // Scripts may send only 1000 and codes from 3000 on.
    this.#ws.close(code === 1000 ? code : 3000 + (code % 1000), reason);
  }

  terminate(): void {
    this.#ws.close();
  }

  #release(): void {
    if (this.#polling) return;
    if (this.#ws.bufferedAmount > LOW_WATER_BYTES && this.#ws.readyState === WebSocket.OPEN) {
      this.#polling = true;
      setTimeout(() => {
        this.#polling = false;
        this.#release();
      }, POLL_MS);
      return;
    }
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const onSent of waiting) onSent();
  }
}

function open(url: string, { signal }: ConnectOptions): Promise<BuiltInSocket> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(aborted(url, signal));
      return;
    }
    const ws = new WebSocket(url);
    ws.binaryType = "arraybuffer";
    const onAbort = () => {
      reject(aborted(url, signal));
      ws.close();
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    ws.onopen = () => {
      signal?.removeEventListener("abort", onAbort);
      resolve(new BuiltInSocket(ws));
    };
    // Scripts are not told why a connection failed.
    ws.onerror = () => {
      signal?.removeEventListener("abort", onAbort);
      reject(new NotThere("the connection failed"));
    };
  });
}
