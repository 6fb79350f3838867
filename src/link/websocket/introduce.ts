/** The connecting side of the handshake, over any socket. */

import { AbortedError, AdmissionError, ProtocolError, TimeoutError, type WebcclError } from "../../errors.ts";
import { startTimer } from "../../support/clock.ts";
import { decodeHandshake, encodeHandshake, GENERIC_REFUSAL, type Hello, type Welcome } from "../../wire/handshake.ts";
import { FragmentsPayload } from "../payload/fragments.ts";
import type { BaseSocket } from "./base-socket.ts";

/** Proves that this rank holds the group's token. */
export type Prove = (nonce: Uint8Array, hello: Hello) => Promise<Uint8Array>;

/** A refusal that may end by itself, such as a group whose last members are just leaving: connect again. */
export class RetryableRefusal extends AdmissionError {}

/**
 * Answers the challenge on a socket that has just opened, and waits for the welcome. When it resolves the socket has no
 * listener, and messages wait for the next one; when it rejects the socket is closed.
 * @throws AdmissionError with the other side's reason; TimeoutError; ProtocolError; AbortedError by the signal.
 */
export function introduce(
  socket: BaseSocket,
  hello: Hello,
  options: { prove: Prove | null; timeoutMs: number; signal?: AbortSignal | undefined; url: string },
): Promise<Welcome> {
  const { prove, timeoutMs, signal, url } = options;
  return new Promise((resolve, reject) => {
    const timer = startTimer(timeoutMs, () => {
      fail(
        new TimeoutError(
          `${url} accepted the connection but did not answer within ${timeoutMs} ms: is it a webccl hub?`,
        ),
      );
    });
    const onAbort = () => fail(new AbortedError(`connecting to ${url} was aborted`, { cause: signal?.reason }));
    signal?.addEventListener("abort", onAbort, { once: true });
    const settle = () => {
      timer.cancel();
      signal?.removeEventListener("abort", onAbort);
      socket.release();
    };
    const fail = (error: WebcclError) => {
      settle();
      socket.terminate();
      reject(error);
    };

    const say = (proof: Uint8Array | null) => socket.send([encodeHandshake({ type: "hello", hello, proof })]);
    let challenged = false;
    socket.onMessage = (fragments) => {
      try {
        const bytes = new FragmentsPayload(fragments).toBytes();
        const message = decodeHandshake(bytes, challenged ? ["welcome", "refused"] : ["challenge", "refused"]);
        if (message.type === "challenge") {
          challenged = true;
          if (prove) void prove(message.nonce, hello).then(say, fail);
          else say(null);
        } else if (message.type === "welcome") {
          checkConfirms(url, message.welcome, hello);
          settle();
          resolve(message.welcome);
        } else if (message.type === "refused") {
          fail(refusal(url, hello, message.reason, message.retry, prove !== null));
        }
      } catch (error) {
        fail(
          error instanceof ProtocolError
            ? error
            : new ProtocolError(`${url} sent what is no handshake`, { cause: error }),
        );
      }
    };
    socket.onClose = (code, reason) => {
      const text = `${url} closed the connection during the handshake (${code}${reason && ` ${reason}`})`;
      fail(code === 1008 ? refusal(url, hello, reason, false, prove !== null) : new RetryableRefusal(text));
    };
    if (signal?.aborted) onAbort();
  });
}

/** The welcome repeats what the hello said. A hub gives a rank where none was asked for. */
function checkConfirms(url: string, welcome: Welcome, { rank, worldSize, checksums }: Hello): void {
  const sameRank = rank === null || welcome.rank === rank;
  if (sameRank && welcome.worldSize === worldSize && welcome.checksums === checksums) return;
  throw new ProtocolError(`${url} did not confirm what this rank said: the handshake was changed on the way`);
}

function refusal(url: string, hello: Hello, reason: string, retry: boolean, hasToken: boolean): AdmissionError {
  const text =
    reason === GENERIC_REFUSAL
      ? `${url} refused this rank. ${
          hasToken
            ? "Its token is not the hub's: WEBCCL_TOKEN must be the same on every rank and the hub"
            : "The hub asks for a token: set WEBCCL_TOKEN (or the option token) to the hub's"
        }`
      : `${url} refused this rank: ${reason}`;
  const details = { group: hello.group, ...(hello.rank === null ? {} : { rank: hello.rank }) };
  return retry ? new RetryableRefusal(text, details) : new AdmissionError(text, details);
}
