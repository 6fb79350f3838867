/**
 * Liveness: a server pings those it has let in, which every WebSocket answers by itself, a hidden or throttled tab's
 * too. So middleboxes keep the connection open, and a half-open one is found: without any sign of life for the peer
 * timeout it is closed. A connection that is not being read is left alone, because its answers are not read either.
 *
 * A proxy ends a connection on which one side is silent for its own limit, of which 20 s are usual: the ping is a sign of life
 * of the one side, its answer of the other.
 */

import { startQuietTimer } from "../../support/clock.ts";

/** Least pings per peer timeout. */
const PINGS = 4;
/** Most milliseconds between two pings. */
const LONGEST_PAUSE_MS = 10_000;

/** A connection that can be watched. */
export interface Watched {
  readonly bytesRead: number;
  readonly isPaused: boolean;
  ping(): void;
}

/**
 * Pings and watches until the function that it returns is called; `onSilent` is called once if nothing comes for `timeoutMs`,
 * never if that is Infinity.
 */
export function watchLiveness(socket: Watched, timeoutMs: number, onSilent: () => void): () => void {
  const pauseMs = Math.min(timeoutMs / PINGS, LONGEST_PAUSE_MS);
  let unanswered = 0;
  let bytesRead = socket.bytesRead;
  const look = () => {
    if (socket.isPaused || socket.bytesRead !== bytesRead) unanswered = 0;
    bytesRead = socket.bytesRead;
    if (unanswered * pauseMs >= timeoutMs) {
      onSilent();
      return;
    }
    unanswered++;
    timer = startQuietTimer(pauseMs, look);
    socket.ping();
  };
  let timer = startQuietTimer(pauseMs, look);
  return () => timer.cancel();
}
