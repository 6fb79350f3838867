/**
 * Admission: the accepting side of the handshake, over any socket.
 *
 *   open ── challenge sent ──▶ waiting ── hello, proof right, `accept` returns ── welcome sent ──▶ admitted
 *                                │
 *                                └── no hello in time · a message too large · malformed · proof wrong ──▶ "refused", closed
 *
 * Until the proof is right the other side learns nothing and nothing is kept for it (S4); afterwards refusals have reasons. The
 * versions of the two sides are no secret, for the challenge has the one and the hello the other: that refusal has its reason.
 */

import { AdmissionError, ProtocolError } from "../errors.ts";
import type { Socket } from "../link/link.ts";
import { FragmentsPayload, totalBytes } from "../link/payload/fragments.ts";
import { startTimer } from "../support/clock.ts";
import {
  decodeHandshake,
  encodeHandshake,
  GENERIC_REFUSAL,
  type Hello,
  makeNonce,
  VersionError,
  type Welcome,
} from "../wire/handshake.ts";
import { type Doorkeeper, type Guest, TicketError } from "./doorkeeper.ts";
import type { Refusal } from "./events.ts";

/** How long a socket may stay open without a hello, in milliseconds (S7). */
const HELLO_TIMEOUT_MS = 5_000;
/** Largest message before authentication (S8). */
export const MAX_HELLO_BYTES = 4_096;
/** How long a refused socket may take to close, in milliseconds (S4 allows 1,000). */
const REFUSED_CLOSE_MS = 500;

/** Refuses a rank for a reason that may pass: the rank is asked to try again. */
export class RetryLaterError extends AdmissionError {}

export interface AdmissionOptions {
  /** Knows who may come in. */
  doorkeeper: Doorkeeper;
  /** Default: {@link HELLO_TIMEOUT_MS}. */
  helloTimeoutMs?: number | undefined;
  /** Called when the proof is right. */
  accept: Accept;
  /** Called once, when the socket is admitted, refused or gone. */
  onSettled?: (admitted: boolean) => void;
  /** Called when the socket is refused, with the true reason, whatever the other side is told. */
  onRefused?: ((kind: Refusal, reason: string) => void) | undefined;
  /** Called with an error of `accept` that is no AdmissionError; the socket is refused without a reason. */
  onError?: (error: unknown) => void;
}

/**
 * Takes over the socket's `onMessage` and `onClose`, must not send before it returns, and refuses by throwing AdmissionError,
 * whose message the other side is told. `maxBytesInFlight` is that of the newcomer's ticket, or null.
 */
export type Accept = (hello: Hello, socket: Socket, maxBytesInFlight: number | null) => Welcome;

/** Greets a socket that has just opened. */
export function admit(socket: Socket, options: AdmissionOptions): void {
  const { doorkeeper, helloTimeoutMs = HELLO_TIMEOUT_MS, accept, onSettled, onRefused, onError } = options;
  const nonce = makeNonce();
  const timer = startTimer(helloTimeoutMs, () => refuse("silence", "no hello in time"));
  let settled = false;

  const settle = (admitted: boolean) => {
    if (settled) return;
    settled = true;
    timer.cancel();
    onSettled?.(admitted);
  };
  const refuse = (kind: Refusal, reason: string, told = GENERIC_REFUSAL) => {
    onRefused?.(kind, reason);
    settle(false);
    const closing = startTimer(REFUSED_CLOSE_MS, () => socket.terminate());
    socket.onMessage = () => {};
    socket.onClose = () => closing.cancel();
    socket.send([encodeHandshake({ type: "refused", reason: told, retry: kind === "later" })]);
    socket.close(1008, GENERIC_REFUSAL);
  };
  const welcome = (guest: Guest) => {
    const welcome = accept(guest.hello, socket, guest.ticket?.maxBytesInFlight ?? null);
    settle(true);
    socket.send([encodeHandshake({ type: "welcome", welcome, ...doorkeeper.welcome(guest, welcome) })]);
  };

  socket.onClose = () => settle(false);
  socket.onMessage = (fragments) => {
    if (totalBytes(fragments) > MAX_HELLO_BYTES) return refuse("size", "a hello of too many bytes");
    try {
      const guest = examine(new FragmentsPayload(fragments).toBytes());
      if (guest) welcome(guest);
      else refuse("proof", "a wrong proof");
    } catch (error) {
      const kind = refusalOf(error);
      const { message } = error as Error;
      if (kind === "fault") onError?.(error);
      // Whoever sent a malformed hello holds no token, and is told no more than that.
      refuse(kind, message, kind === "fault" || kind === "malformed" ? GENERIC_REFUSAL : message);
    }
  };
  socket.send([encodeHandshake({ type: "challenge", nonce })]);

  function examine(bytes: Uint8Array): Guest | null {
    const message = decodeHandshake(bytes, ["hello"]);
    return message.type === "hello" ? doorkeeper.examine(nonce, message) : null;
  }
}

function refusalOf(error: unknown): Refusal {
  if (error instanceof TicketError) return "ticket";
  if (error instanceof AdmissionError) return error instanceof RetryLaterError ? "later" : "group";
  if (error instanceof VersionError) return "version";
  return error instanceof ProtocolError ? "malformed" : "fault";
}
