/** The connecting side of the handshake, over any socket. */

import { AbortedError, AdmissionError, ProtocolError, TimeoutError, type WebcclError } from "../../errors.ts";
import { onAbort } from "../../support/abort-listeners.ts";
import { startTimer } from "../../support/clock.ts";
import {
  decodeAnswer,
  encodeHello,
  GENERIC_REFUSAL,
  type Hello,
  makeNonce,
  type Welcome,
} from "../../wire/handshake.ts";
import { FragmentsPayload } from "../payload/fragments.ts";
import type { BaseSocket } from "./base-socket.ts";
import type { Credential } from "./credential.ts";

/** How a rank was let in. */
export interface Introduced {
  readonly welcome: Welcome;
  /** The ticket by which it may come again, if it came by one. */
  readonly resume: string | undefined;
}

/** A refusal that may end by itself, such as a group whose last members are just leaving: connect again. */
export class RetryableRefusal extends AdmissionError {}

/**
 * Answers the challenge on a socket that has just opened, waits for the welcome, and has the other side prove what this rank
 * proved. When it resolves the socket has no listener, and messages wait for the next one; when it rejects the socket is closed.
 * @throws AdmissionError with the other side's reason, or if it proves nothing; TimeoutError; ProtocolError; AbortedError by
 *   the signal.
 */
export function introduce(
  socket: BaseSocket,
  hello: Hello,
  options: { credential: Credential | null; timeoutMs: number; signal?: AbortSignal | undefined; url: string },
): Promise<Introduced> {
  const { credential, timeoutMs, signal, url } = options;
  return new Promise((resolve, reject) => {
    const late = `${url} accepted the connection but did not answer within ${timeoutMs} ms: is it a webccl hub?`;
    const timer = startTimer(timeoutMs, () => fail(new TimeoutError(late)));
    const end = () => fail(new AbortedError(`connecting to ${url} was aborted`, { cause: signal?.reason }));
    const hearNoMore = signal && onAbort(signal, end);
    const settle = () => {
      timer.cancel();
      hearNoMore?.();
      socket.release();
    };
    const fail = (error: WebcclError) => {
      settle();
      socket.terminate();
      reject(error);
    };
    const refused = (reason: string, retry: boolean) => fail(refusal(url, hello, { reason, retry, credential }));

    const nonce = makeNonce();
    const say = (proof: Uint8Array | null) =>
      socket.send([encodeHello({ type: "hello", hello, nonce, ticket: credential?.payload ?? null, proof })]);
    let nonces: { challenge: Uint8Array; hello: Uint8Array } | null = null;
    socket.onMessage = (fragments) => {
      try {
        const bytes = new FragmentsPayload(fragments).toBytes();
        const message = decodeAnswer(bytes, nonces ? ["welcome", "refused"] : ["challenge", "refused"]);
        if (message.type === "challenge") {
          nonces = { challenge: message.nonce, hello: nonce };
          if (credential) void credential.prove(nonces, hello).then(say, fail);
          else say(null);
        } else if (message.type === "welcome" && nonces) {
          checkConfirms(message.welcome, hello);
          // What comes behind the welcome waits until the other side has proved itself.
          settle();
          const checked = credential ? credential.check(url, nonces, message) : Promise.resolve(undefined);
          checked.then((resume) => resolve({ welcome: message.welcome, resume }), fail);
        } else if (message.type === "refused") {
          refused(message.reason, message.retry);
        }
      } catch (error) {
        const text = error instanceof ProtocolError ? `${url}: ${error.message}` : `${url} sent what is no handshake`;
        fail(new ProtocolError(text, { cause: error }));
      }
    };
    socket.onClose = (code, reason) => {
      const text = `${url} closed the connection during the handshake (${code}${reason && ` ${reason}`})`;
      if (code === 1008) refused(reason, false);
      else fail(new RetryableRefusal(text));
    };
    if (signal?.aborted) end();
  });
}

/** The welcome repeats what the hello said. A hub gives a rank where none was asked for. */
function checkConfirms(welcome: Welcome, { rank, worldSize, checksums }: Hello): void {
  const sameRank = rank === null || welcome.rank === rank;
  if (sameRank && welcome.worldSize === worldSize && welcome.checksums === checksums) return;
  throw new ProtocolError("it did not confirm what this rank said: the handshake was changed on the way");
}

function refusal(
  url: string,
  hello: Hello,
  { reason, retry, credential }: { reason: string; retry: boolean; credential: Credential | null },
): AdmissionError {
  const text =
    reason === GENERIC_REFUSAL
      ? `${url} refused this rank. ${
          credential?.whyRefused ?? "The hub asks for a token: set WEBCCL_TOKEN (or the option token) to the hub's"
        }`
      : `${url} refused this rank: ${reason}`;
  const details = { group: hello.group, ...(hello.rank === null ? {} : { rank: hello.rank }) };
  return retry ? new RetryableRefusal(text, details) : new AdmissionError(text, details);
}
