/** A member written by hand, over `ws` and the wire formats, that does what no client of ours does. For tests and for bench/hub/. */
import { once } from "node:events";
import type { Socket as NetSocket } from "node:net";
import { WebSocket } from "ws";
import { decodeHandshake, encodeHandshake, type Hello, makeNonce, type Welcome } from "../../src/wire/handshake.ts";
import { encodeHubFrame } from "../../src/wire/hub-frame.ts";

/** A member that has been let in, and speaks bytes. */
export interface Hostile {
  readonly ws: WebSocket;
  readonly net: NetSocket;
  readonly welcome: Welcome;
  /** Resolves when the hub has closed the connection. */
  readonly closed: Promise<{ code: number; reason: string }>;
  /** Sends one message, and resolves when the operating system has taken it or the connection has closed. */
  send(...parts: readonly Uint8Array[]): Promise<void>;
  /** Sends a message to the hub itself. */
  tell(message: object): Promise<void>;
}

/**
 * Joins a hub that has no token.
 * @throws Error with the hub's reason if it refuses.
 */
export async function enter(hub: { url: string }, fields: Partial<Hello> = {}): Promise<Hostile> {
  const ws = new WebSocket(hub.url, { perMessageDeflate: false });
  ws.setMaxListeners(0);
  ws.on("error", () => {});
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    ws.on("close", (code, reason) => resolve({ code, reason: reason.toString() }));
  });
  // The challenge, to which no proof is needed.
  await once(ws, "message");
  const answered = once(ws, "message");
  const hello: Hello = { group: "g", rank: 0, worldSize: 2, purpose: "hub", checksums: false, ...fields };
  ws.send(encodeHandshake({ type: "hello", hello, nonce: makeNonce(), ticket: null, proof: null }));
  const answer = decodeHandshake((await answered)[0], ["welcome", "refused"]);
  if (answer.type !== "welcome") throw new Error(answer.type === "refused" ? answer.reason : answer.type);
  const send = (...parts: readonly Uint8Array[]) =>
    new Promise<void>((resolve) => {
      ws.once("close", () => resolve());
      ws.send(Buffer.concat(parts), { binary: true }, () => resolve());
    });
  // The connection, of which ws shows nothing.
  const { _socket: net } = ws as unknown as { _socket: NetSocket };
  return { ws, net, closed, welcome: answer.welcome, send, tell: (message) => send(...encodeHubFrame(message)) };
}
