/**
 * Admission: the accepting side of the handshake, over any socket.
 *
 *   open ── challenge sent ──▶ waiting ── hello, proof right, `accept` returns ── welcome sent ──▶ admitted
 *                                │
 *                                └── no hello in time · a message too large · malformed · proof wrong ──▶ "refused", closed
 *
 * Until the proof is right the other side learns nothing and nothing is kept for it (S4); afterwards refusals have reasons.
 */

import { AdmissionError } from "../errors.ts";
import type { Socket } from "../link/link.ts";
import { FragmentsPayload, totalBytes } from "../link/payload/fragments.ts";
import { startTimer } from "../support/clock.ts";
import {
  decodeHandshake,
  encodeHandshake,
  GENERIC_REFUSAL,
  type Hello,
  makeNonce,
  type Welcome,
} from "../wire/handshake.ts";
import { verify } from "../wire/proof.ts";

/** How long a socket may stay open without a hello, in milliseconds (S7). */
const HELLO_TIMEOUT_MS = 5_000;
/** Largest message before authentication (S8). */
export const MAX_HELLO_BYTES = 4_096;
/** How long a refused socket may take to close, in milliseconds (S4 allows 1,000). */
const REFUSED_CLOSE_MS = 500;

/** Refuses a rank for a reason that may pass: the rank is asked to try again. */
export class RetryLaterError extends AdmissionError {}

export interface AdmissionOptions {
  /** The secret that has to be proved. Without one, every well-formed hello is admitted. */
  token?: string | undefined;
  /** Default: {@link HELLO_TIMEOUT_MS}. */
  helloTimeoutMs?: number | undefined;
  /**
   * Called when the proof is right. Takes over the socket's `onMessage` and `onClose`, must not send before it returns,
   * and refuses by throwing AdmissionError, whose message the other side is told.
   */
  accept: (hello: Hello, socket: Socket) => Welcome;
  /** Called once, when the socket is admitted, refused or gone. */
  onSettled?: (admitted: boolean) => void;
  /** Called with an error of `accept` that is no AdmissionError; the socket is refused without a reason. */
  onError?: (error: unknown) => void;
}

/** Greets a socket that has just opened. */
export function admit(socket: Socket, options: AdmissionOptions): void {
  const { token, helloTimeoutMs = HELLO_TIMEOUT_MS, accept, onSettled, onError } = options;
  const nonce = makeNonce();
  const timer = startTimer(helloTimeoutMs, () => refuse(GENERIC_REFUSAL));
  let settled = false;

  const settle = (admitted: boolean) => {
    if (settled) return;
    settled = true;
    timer.cancel();
    onSettled?.(admitted);
  };
  const refuse = (reason: string, retry = false) => {
    settle(false);
    const closing = startTimer(REFUSED_CLOSE_MS, () => socket.terminate());
    socket.onMessage = () => {};
    socket.onClose = () => closing.cancel();
    socket.send([encodeHandshake({ type: "refused", reason, retry })]);
    socket.close(1008, GENERIC_REFUSAL);
  };

  socket.onClose = () => settle(false);
  socket.onMessage = async (fragments) => {
    // Whoever speaks again before the answer breaks the protocol.
    socket.onMessage = () => refuse(GENERIC_REFUSAL);
    if (totalBytes(fragments) > MAX_HELLO_BYTES) return refuse(GENERIC_REFUSAL);
    const hello = await proven(new FragmentsPayload(fragments).toBytes());
    if (settled) return;
    if (!hello) return refuse(GENERIC_REFUSAL);
    try {
      const welcome = accept(hello, socket);
      settle(true);
      socket.send([encodeHandshake({ type: "welcome", welcome })]);
    } catch (error) {
      if (!(error instanceof AdmissionError)) {
        onError?.(error);
        return refuse(GENERIC_REFUSAL);
      }
      refuse(error.message, error instanceof RetryLaterError);
    }
  };
  socket.send([encodeHandshake({ type: "challenge", nonce })]);

  /** The hello, if the message is one and its proof is right. */
  async function proven(bytes: Uint8Array): Promise<Hello | null> {
    try {
      const message = decodeHandshake(bytes, ["hello"]);
      if (message.type !== "hello") return null;
      return token === undefined || (await verify(token, nonce, message.hello, message.proof)) ? message.hello : null;
    } catch {
      // Malformed: whoever sent it holds no token, and is told no more than that.
      return null;
    }
  }
}
