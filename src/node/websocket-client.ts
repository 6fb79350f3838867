/** The WebSocket client of Node. */
import type { IncomingMessage } from "node:http";
import { WebSocket } from "ws";
import { AbortedError, AdmissionError, TimeoutError } from "../errors.ts";
import { DEFAULT_MAX_MESSAGE_BYTES } from "../hub/hub.ts";
import type { ConnectOptions, Hello, Welcome } from "../platform.ts";
import { introduce, RetryableRefusal } from "../transport/introduce.ts";
import type { Socket } from "../transport/transport.ts";
import { NodeSocket, WS_OPTIONS } from "./node-socket.ts";

const FIRST_RETRY_MS = 20;
const LAST_RETRY_MS = 500;

/** Nothing is there yet, or it closed on us: another try may succeed. */
class NotThere extends Error {}

/**
 * Connects to a hub or a rank, and proves the token. A port where nothing listens is tried again until `timeoutMs`.
 * @throws TimeoutError if nothing answered; AdmissionError if something did and refused; AbortedError by the signal;
 *   TypeError if the URL is none, or has a query or a user in it: a token has no place there.
 */
export async function connectWebSocket(
  url: string,
  hello: Hello,
  options: ConnectOptions & { maxMessageBytes?: number },
): Promise<{ socket: Socket; welcome: Welcome }> {
  checkUrl(url);
  const { timeoutMs, token, signal } = options;
  const deadline = performance.now() + timeoutMs;
  let delayMs = FIRST_RETRY_MS;
  // Says more than that the last try, cut short, was not answered in time.
  let refusal: RetryableRefusal | undefined;
  for (;;) {
    try {
      const leftMs = Math.max(1, deadline - performance.now());
      const socket = await open(url, { ...options, timeoutMs: leftMs });
      const afterMs = Math.max(1, deadline - performance.now());
      const welcome = await introduce(socket, hello, { token, timeoutMs: afterMs, signal, url });
      return { socket, welcome };
    } catch (error) {
      if (error instanceof RetryableRefusal) refusal = error;
      else if (!(error instanceof NotThere)) throw error instanceof TimeoutError && refusal ? refusal : error;
      if (performance.now() + delayMs >= deadline) {
        if (refusal) throw refusal;
        const detail = `${error.message}. Is the hub, or rank 0, running? Are address and port (MASTER_ADDR, MASTER_PORT) right?`;
        throw new TimeoutError(`nothing answered at ${url} within ${timeoutMs} ms: ${detail}`, {
          group: hello.group,
          cause: error.cause,
        });
      }
      await sleep(delayMs, url, signal);
      delayMs = Math.min(delayMs * 1.5, LAST_RETRY_MS);
    }
  }
}

function checkUrl(url: string): void {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (!parsed || (parsed.protocol !== "ws:" && parsed.protocol !== "wss:")) {
    throw new TypeError(`"${url}" is not a WebSocket address such as ws://127.0.0.1:29500/group`);
  }
  if (parsed.search || parsed.username || parsed.password) {
    throw new TypeError("a hub's address has no query and no user: the token goes in WEBCCL_TOKEN or the option token");
  }
}

function open(url: string, options: ConnectOptions & { maxMessageBytes?: number }): Promise<NodeSocket> {
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

function aborted(url: string, signal: AbortSignal | undefined): AbortedError {
  return new AbortedError(`connecting to ${url} was aborted`, { cause: signal?.reason });
}

function sleep(delayMs: number, url: string, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer);
      reject(aborted(url, signal));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, delayMs);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
