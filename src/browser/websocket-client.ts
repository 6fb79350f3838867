/** The WebSocket that is built into browsers. */

import { totalBytes } from "../link/payload/fragments.ts";
import { BaseSocket } from "../link/websocket/base-socket.ts";
import { aborted, connect, NotThere } from "../link/websocket/connect.ts";
import type { Connected, ConnectOptions } from "../platform.ts";
import { onAbort } from "../support/abort-listeners.ts";
import { isLoopback } from "../support/host.ts";
import type { Hello } from "../wire/handshake.ts";

/** A browser prints two errors for each try that fails, which nobody can prevent. */
const LAST_RETRY_MS = 5_000;

/** {@link connect} over the built-in WebSocket. */
export function connectWebSocket(url: string, hello: Hello, options: ConnectOptions): Promise<Connected> {
  return connect(open, url, hello, options, LAST_RETRY_MS);
}

/**
 * A built-in WebSocket as a {@link BaseSocket}. It takes one buffer a message and copies it at once, so the parts are
 * joined first (memory that threads share must be copied anyway: `send` refuses it), and `onSent` is called at once. No event
 * tells when a browser has sent it, and a timer that looks is slow in a hidden tab. What a browser holds is bounded by what
 * the other side acknowledges, as what may come is: by the peers' eager budgets (messaging/peer.ts). It cannot be paused.
 */
class BuiltInSocket extends BaseSocket {
  readonly #ws: WebSocket;

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
    onSent?.();
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
}

/** Opens a built-in WebSocket. Scripts are not told why one fails; why-not-in.ts finds out. */
function open(url: string, { signal }: ConnectOptions): Promise<BuiltInSocket> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(aborted(url, signal));
      return;
    }
    let ws: WebSocket;
    try {
      if (isMixedContent(url)) throw new Error("mixed content");
      ws = new WebSocket(url);
    } catch (cause) {
      import("./why-not-in.ts").then(
        ({ blocked }) => reject(blocked(url, cause)),
        () => reject(cause),
      );
      return;
    }
    ws.binaryType = "arraybuffer";
    const end = () => {
      reject(aborted(url, signal));
      ws.close();
    };
    const settle = signal && onAbort(signal, end);
    ws.onopen = () => {
      settle?.();
      resolve(new BuiltInSocket(ws));
    };
    ws.onerror = () => {
      settle?.();
      // It may be that the server is not there either from which this page came.
      import("./why-not-in.ts").then(
        async ({ whyNotIn }) => reject(await whyNotIn(url)),
        () => reject(new NotThere("the connection failed")),
      );
    };
  });
}

/** Would a browser block it, whether it says so at once or not? */
function isMixedContent(url: string): boolean {
  return location.protocol === "https:" && url.startsWith("ws:") && !isLoopback(new URL(url).hostname);
}
