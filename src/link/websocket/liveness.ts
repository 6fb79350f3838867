/**
 * Liveness: a server pings those it has let in, which every WebSocket answers by itself, a hidden or throttled tab's
 * too. So middleboxes keep the connection open, and a half-open one is found: without any sign of life for the peer
 * timeout it is closed. A connection that is not being read is left alone, because its answers are not read either.
 */

import { startQuietTimer } from "../../support/clock.ts";

/** Pings per peer timeout. */
const PINGS = 4;

/** A connection that can be watched. */
export interface Watched {
  readonly bytesRead: number;
  readonly isPaused: boolean;
  ping(): void;
}

/**
 * Watches until the function that it returns is called; `onSilent` is called once if nothing comes for `timeoutMs`, never if
 * that is Infinity.
 */
export function watchLiveness(socket: Watched, timeoutMs: number, onSilent: () => void): () => void {
  let unanswered = 0;
  let bytesRead = socket.bytesRead;
  const look = () => {
    if (socket.isPaused || socket.bytesRead !== bytesRead) unanswered = 0;
    bytesRead = socket.bytesRead;
    if (unanswered >= PINGS) {
      onSilent();
      return;
    }
    unanswered++;
    timer = startQuietTimer(timeoutMs / PINGS, look);
    socket.ping();
  };
  let timer = startQuietTimer(timeoutMs / PINGS, look);
  return () => timer.cancel();
}
