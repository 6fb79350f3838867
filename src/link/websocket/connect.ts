/**
 * Connects by the socket that a runtime opens: tries again while nothing is there, then both sides prove the token.
 */

import { AbortedError, TimeoutError } from "../../errors.ts";
import type { Connected, ConnectOptions } from "../../platform.ts";
import { onAbort } from "../../support/abort-listeners.ts";
import { now, randomBytes, startTimer } from "../../support/clock.ts";
import type { Hello } from "../../wire/handshake.ts";
import type { BaseSocket } from "./base-socket.ts";
import { introduce, RetryableRefusal } from "./introduce.ts";

const FIRST_RETRY_MS = 20;
/** A rank that waits looks twice a second. */
const LAST_RETRY_MS = 500;

/** Nothing listens there yet, or it closed the connection: another try may succeed. */
export class NotThere extends Error {}

/**
 * Connects to a hub or a rank by `open`; each proves the token to the other. A port where nothing listens is tried again until `timeoutMs`.
 * @param lastRetryMs the longest wait between two tries.
 * @throws TimeoutError if nothing answered; AdmissionError if something did and refused, or holds no token; AbortedError by the
 *   signal; TypeError if the ticket is none, or if the URL is none, or has a query or a user in it: a token must not stand there.
 */
export async function connect<O extends ConnectOptions>(
  open: (url: string, options: O) => Promise<BaseSocket>,
  url: string,
  hello: Hello,
  options: O,
  lastRetryMs = LAST_RETRY_MS,
): Promise<Connected> {
  checkUrl(url);
  const { timeoutMs, token, ticket, signal, onRetry } = options;
  const deadline = now() + timeoutMs;
  const hasNone = token === undefined && ticket === undefined;
  const credential = hasNone ? null : new (await import("./credential.ts")).Credential(options);
  let delayMs = FIRST_RETRY_MS;
  // A refusal, or the error of a try before, says more than the last try, which may only have run out of time.
  let refusal: RetryableRefusal | undefined;
  let cause: unknown;
  let said = "";
  for (let tries = 1; ; tries++) {
    try {
      const leftMs = Math.max(1, deadline - now());
      const socket = await open(url, { ...options, timeoutMs: leftMs });
      const afterMs = Math.max(1, deadline - now());
      return { socket, ...(await introduce(socket, hello, { credential, timeoutMs: afterMs, signal, url })) };
    } catch (error) {
      if (error instanceof RetryableRefusal) refusal = error;
      else if (!(error instanceof NotThere)) throw error instanceof TimeoutError && refusal ? refusal : error;
      cause = error.cause ?? cause;
      if (now() + delayMs >= deadline) {
        if (refusal) throw refusal;
        const detail = `${said || error.message}. Is the hub, or rank 0, running? Are address and port (MASTER_ADDR, MASTER_PORT) right?`;
        throw new TimeoutError(`nothing answered at ${url} within ${timeoutMs} ms, in ${tries} tries: ${detail}`, {
          group: hello.group,
          cause,
        });
      }
      said = error.message;
      onRetry?.(tries, error);
      // Ranks that were started together do not come again together.
      await sleep(delayMs * (0.5 + (randomBytes(1)[0] ?? 0) / 256), url, signal);
      delayMs = Math.min(delayMs * 1.5, lastRetryMs);
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

/** The error of a connection attempt whose signal has fired. */
export function aborted(url: string, signal: AbortSignal | undefined): AbortedError {
  return new AbortedError(`connecting to ${url} was aborted`, { cause: signal?.reason });
}

function sleep(delayMs: number, url: string, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = () => {
      timer.cancel();
      reject(aborted(url, signal));
    };
    const settle = signal && onAbort(signal, end);
    const timer = startTimer(delayMs, () => {
      settle?.();
      resolve();
    });
  });
}
