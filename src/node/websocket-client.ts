/** The WebSocket client of Node. */
import type { IncomingMessage } from "node:http";
import { WebSocket } from "ws";
import { AdmissionError } from "../errors.ts";
import { DEFAULT_MAX_MESSAGE_BYTES } from "../hub/hub.ts";
import type { ConnectOptions, Hello, Welcome } from "../platform.ts";
import { aborted, connect, NotThere } from "../transport/connect.ts";
import type { Socket } from "../transport/transport.ts";
import { NodeSocket, WS_OPTIONS } from "./node-socket.ts";

/** What Node's client adds to the options of connecting. */
type NodeConnectOptions = ConnectOptions & { maxMessageBytes?: number };

/** {@link connect} over `ws`. */
export function connectWebSocket(
  url: string,
  hello: Hello,
  options: NodeConnectOptions,
): Promise<{ socket: Socket; welcome: Welcome }> {
  return connect(open, url, hello, options);
}

function open(url: string, options: NodeConnectOptions): Promise<NodeSocket> {
  const { timeoutMs, signal, maxMessageBytes = DEFAULT_MAX_MESSAGE_BYTES } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(aborted(url, signal));
    const ws = new WebSocket(url, {
      ...WS_OPTIONS,
      maxPayload: maxMessageBytes,
      handshakeTimeout: Math.ceil(timeoutMs),
      followRedirects: false,
      // A mask of zeros is a valid mask, and `ws` then sends the bytes as they are, neither copied nor changed. The mask
      // protects proxies from what scripts in a browser send; this is no browser.
      generateMask: (mask: Buffer) => {
        mask.fill(0);
      },
    });
    const onAbort = () => {
      reject(aborted(url, signal));
      ws.terminate();
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    const settle = () => signal?.removeEventListener("abort", onAbort);

    let socket: NodeSocket | undefined;
    // The socket listens from the upgrade on: its first message may come in the same chunk.
    ws.once("upgrade", (response: IncomingMessage) => {
      socket = new NodeSocket(ws, response.socket);
    });
    ws.once("open", () => {
      settle();
      resolve(socket!);
    });
    ws.once("unexpected-response", (_request, response) => {
      settle();
      ws.terminate();
      const { statusCode } = response;
      const text =
        statusCode === 403
          ? `${url} refused the connection (HTTP 403): it does not know this address or origin (webccl hub --allow-host, --origin)`
          : `${url} answered HTTP ${statusCode}: this is no webccl hub, or one that is overloaded`;
      reject(new AdmissionError(text));
    });
    ws.on("error", (cause: NodeJS.ErrnoException) => {
      settle();
      const isTls = /CERT|SSL|TLS|SELF_SIGNED|UNABLE_TO_VERIFY/.test(cause.code ?? "");
      if (isTls) reject(new AdmissionError(`the certificate of ${url} is not trusted: ${cause.message}`, { cause }));
      else reject(new NotThere(cause.message || cause.code || "the connection failed", { cause }));
    });
  });
}
