/** The WebSocket client of Node. */

import { AdmissionError } from "../errors.ts";
import { DEFAULT_MAX_MESSAGE_BYTES } from "../hub/hub.ts";
import { aborted, connect, NotThere } from "../link/websocket/connect.ts";
import { RetryableRefusal } from "../link/websocket/introduce.ts";
import type { Connected, ConnectOptions } from "../platform.ts";
import { onAbort } from "../support/abort-listeners.ts";
import { LONGEST_DELAY_MS } from "../support/clock.ts";
import type { Hello } from "../wire/handshake.ts";
import { NodeSocket } from "./socket.ts";
import { UPGRADE_OPTIONS, Upgrade } from "./upgrade.ts";

/** The options of connecting, and one that only Node's client has. */
type NodeConnectOptions = ConnectOptions & { maxMessageBytes?: number };

/** Answers of a hub that has too many newcomers, or of a proxy whose hub does not answer yet. */
const RETRIED: readonly number[] = [429, 502, 503, 504];

/** {@link connect} over `ws`. */
export function connectWebSocket(url: string, hello: Hello, options: NodeConnectOptions): Promise<Connected> {
  return connect(open, url, hello, options);
}

function open(url: string, options: NodeConnectOptions): Promise<NodeSocket> {
  const { timeoutMs, signal, silenceMs, maxMessageBytes = DEFAULT_MAX_MESSAGE_BYTES } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(aborted(url, signal));
    const ws = new Upgrade(url, {
      ...UPGRADE_OPTIONS,
      handshakeTimeout: Math.min(Math.ceil(timeoutMs), LONGEST_DELAY_MS),
      followRedirects: false,
    });
    const end = () => {
      reject(aborted(url, signal));
      ws.terminate();
    };
    const settle = signal ? onAbort(signal, end) : () => {};

    ws.onUpgraded = (net, head) => {
      settle();
      const socket = new NodeSocket(net, head, { side: "client", maxMessageBytes });
      if (silenceMs !== undefined) socket.watch(silenceMs);
      resolve(socket);
    };
    ws.once("unexpected-response", (_request, response) => {
      settle();
      ws.terminate();
      const { statusCode } = response;
      const text =
        statusCode === 403
          ? `${url} refused the connection (HTTP 403): it does not know this address or origin (webccl hub --allow-host, --origin)`
          : `${url} answered HTTP ${statusCode}: this is no webccl hub, or one that is overloaded`;
      reject(RETRIED.includes(statusCode ?? 0) ? new RetryableRefusal(text) : new AdmissionError(text));
    });
    ws.on("error", (cause: NodeJS.ErrnoException) => {
      settle();
      const isTls = /CERT|SSL|TLS|SELF_SIGNED|UNABLE_TO_VERIFY/.test(cause.code ?? "");
      if (isTls) reject(new AdmissionError(`the certificate of ${url} is not trusted: ${cause.message}`, { cause }));
      else reject(new NotThere(cause.message || cause.code || "the connection failed", { cause }));
    });
  });
}
