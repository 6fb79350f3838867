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

/** Errors of TLS whose other end spoke HTTP, in the words of Node and of Deno. */
const PLAIN_ANSWER = /wrong.version.number|packet.length.too.long|InvalidContentType/i;

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
      reject(failureOf(url, cause));
    });
  });
}

/** What the socket's error means. One side with TLS and the other without is told as such: the remedy is in the address. */
function failureOf(url: string, cause: NodeJS.ErrnoException): AdmissionError | NotThere {
  const { code = "", message } = cause;
  if (url.startsWith("wss:") && PLAIN_ANSWER.test(`${code} ${message}`)) {
    const plain = url.replace("wss:", "ws:");
    const text = `${url} answers without TLS: join ${plain}, or start the hub there with a certificate (--cert, --key)`;
    return new AdmissionError(text, { cause });
  }
  if (/CERT|SSL|TLS|SELF_SIGNED|UNABLE_TO_VERIFY/.test(code)) {
    return new AdmissionError(`the certificate of ${url} is not trusted: ${message}`, { cause });
  }
  const mayBeTls = url.startsWith("ws:") && (code === "ECONNRESET" || code.startsWith("HPE_"));
  const hint = mayBeTls ? `; if the hub there has TLS, its address is ${url.replace("ws:", "wss:")}` : "";
  return new NotThere(`${message || code || "the connection failed"}${hint}`, { cause });
}
