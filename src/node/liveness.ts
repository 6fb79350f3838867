/**
 * Liveness: a server pings those it has let in, which every WebSocket answers by itself, a hidden or throttled tab's too.
 * So middleboxes keep the connection open, and a half-open one is found: without any sign of life for the peer timeout
 * it is closed. A connection that is not being read does not count, for its answers are not either.
 */
import type { WebSocket } from "ws";

/** Pings per peer timeout. */
const PINGS = 4;

/** Watches an open WebSocket until it closes; `onSilent` is called once if the other side is silent for `timeoutMs`. */
export function watchLiveness(ws: WebSocket, timeoutMs: number, onSilent: () => void): void {
  let unanswered = 0;
  const alive = () => {
    unanswered = 0;
  };
  const timer = setInterval(() => {
    if (ws.isPaused) unanswered = 0;
    if (unanswered >= PINGS) {
      clearInterval(timer);
      onSilent();
      return;
    }
    unanswered++;
    if (ws.readyState === ws.OPEN) ws.ping();
  }, timeoutMs / PINGS);
  timer.unref();
  ws.on("pong", alive);
  ws.on("message", alive);
  ws.on("close", () => clearInterval(timer));
}
