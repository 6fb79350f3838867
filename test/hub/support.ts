/** Real hubs and raw members for tests. What is opened is closed when the test ends. */

import { createHmac } from "node:crypto";
import { connect as connectNet, type Socket as NetSocket } from "node:net";
import { onTestFinished } from "vitest";
import { WebSocket } from "ws";
import { loadChecksums } from "../../src/executor/checksum/checksums.ts";
import { HubConnection } from "../../src/link/hub/connection.ts";
import type { Socket } from "../../src/link/link.ts";
import { startHub } from "../../src/node/hub.ts";
import type { NodeSocket } from "../../src/node/socket.ts";
import { connectWebSocket } from "../../src/node/websocket-client.ts";
import type { Header } from "../../src/wire/frame.ts";
import { FrameSums } from "../../src/wire/frame-sums.ts";
import { decodeHandshake, encodeHandshake, type Hello, makeNonce } from "../../src/wire/handshake.ts";
import { helloBytes, type Nonces } from "../../src/wire/proof/proof.ts";
import { ticketOf } from "../../src/wire/proof/ticket.ts";

export { dataFrame } from "./frames.ts";

export type TestHub = Awaited<ReturnType<typeof startHub>>;

export async function openHub(options: Parameters<typeof startHub>[0] = {}): Promise<TestHub> {
  const hub = await startHub({ port: 0, ...options });
  onTestFinished(() => hub.close());
  return hub;
}

export function hello(fields: Partial<Hello> = {}): Hello {
  return { group: "g", rank: 0, worldSize: 2, purpose: "hub", checksums: false, ...fields };
}

/** The nonce of the challenge in these bytes. */
export function nonceIn(challenge: Uint8Array): Uint8Array {
  const message = decodeHandshake(challenge, ["challenge"]);
  if (message.type !== "challenge") throw new Error("no challenge");
  return message.nonce;
}

/** The proof of a hello. `key` is the token, or that of a ticket. */
export const proofOf = (key: string | Uint8Array, nonces: Nonces, said: Hello): Uint8Array =>
  new Uint8Array(createHmac("sha256", key).update(helloBytes(nonces, said)).digest());

/** The bytes of a hello, by node:crypto: without proof, or with that of a token, or of a ticket, in answer to a challenge. */
export function helloMessage(
  said: Hello,
  { token, ticket, challenge = makeNonce() }: { token?: string; ticket?: string; challenge?: Uint8Array } = {},
): Uint8Array {
  const nonces = { challenge, hello: makeNonce() };
  const { payload = null, key = token } = ticket === undefined ? {} : ticketOf(ticket);
  const proof = key === undefined ? null : proofOf(key, nonces, said);
  return encodeHandshake({ type: "hello", hello: said, nonce: nonces.hello, ticket: payload, proof });
}

export async function join(
  hub: { url: string },
  fields: Partial<Hello> = {},
  token?: string,
): ReturnType<typeof connectWebSocket> {
  const joined = await connectWebSocket(hub.url, hello(fields), { timeoutMs: 5_000, token });
  onTestFinished(() => joined.socket.terminate());
  return joined;
}

/** A member that is connected and records what it hears. */
export async function joinConnection(hub: { url: string }, fields: Partial<Hello> = {}, token?: string) {
  const { socket, welcome } = await join(hub, fields, token);
  const sums = fields.checksums ? new FrameSums(await loadChecksums(null)) : null;
  const connection = new HubConnection(socket, welcome, hub.url, sums);
  const member = { ...record(connection), socket, welcome };
  // As every rank does: one that has said nothing is not missed.
  await connection.call("numKeys", [], 5_000);
  return member;
}

export interface Heard {
  peer: number;
  header: Uint8Array;
  payload: Uint8Array;
}

function record(connection: HubConnection) {
  const frames: Heard[] = [];
  const folds: { header: Header; payload: Uint8Array }[] = [];
  const events: unknown[] = [];
  const watchers = new Set<() => void>();
  const changed = () => {
    for (const watcher of watchers) watcher();
  };
  connection.start({
    onFrame(header, payload) {
      const bytes = new Uint8Array(payload.byteLength);
      payload.copyTo(bytes);
      frames.push({
        peer: new DataView(header.buffer, header.byteOffset).getUint32(4, true),
        header: header.slice(),
        payload: bytes,
      });
      changed();
    },
    onFold(header, payload) {
      const bytes = new Uint8Array(payload.byteLength);
      payload.copyTo(bytes);
      folds.push({ header, payload: bytes });
      changed();
    },
    onDamaged(rank, seen) {
      events.push({ type: "damaged", rank, seen });
      changed();
    },
    onHeld(rank, by, isHeld) {
      events.push({ type: "held", rank, by, isHeld });
      changed();
    },
    onLost(rank, reason) {
      events.push({ type: "lost", rank, reason });
      changed();
    },
    onLeft(rank, cause) {
      events.push({ type: "left", rank, cause });
      changed();
    },
    onClosed(code, reason) {
      events.push({ type: "closed", code, reason });
      changed();
    },
  });
  /** Resolves as soon as `condition` holds after something was heard. */
  const until = (condition: () => boolean) =>
    new Promise<void>((resolve) => {
      const watcher = () => {
        if (!condition()) return;
        watchers.delete(watcher);
        resolve();
      };
      watchers.add(watcher);
      watcher();
    });
  return { connection, frames, folds, events, until };
}

/** A WebSocket that says nothing of its own. */
export function rawWebSocket(url: string, options: ConstructorParameters<typeof WebSocket>[2] = {}) {
  const ws = new WebSocket(url, { perMessageDeflate: false, ...options });
  onTestFinished(() => ws.terminate());
  const messages: Buffer[] = [];
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    ws.on("error", () => {});
    ws.on("close", (code, reason) => resolve({ code, reason: reason.toString() }));
  });
  const first = new Promise<Buffer>((resolve) => {
    ws.on("message", (data: Buffer) => {
      messages.push(data);
      resolve(data);
    });
  });
  const status = new Promise<number>((resolve) => {
    ws.on("unexpected-response", (_request, response) => resolve(response.statusCode ?? 0));
    ws.on("open", () => resolve(101));
  });
  return { ws, messages, closed, first, status };
}

/** A TCP connection, for what no WebSocket client would send. */
export function rawTcp(port: number): { net: NetSocket; closed: Promise<string> } {
  const net = connectNet(port, "127.0.0.1");
  onTestFinished(() => void net.destroy());
  let text = "";
  net.on("data", (chunk) => {
    text += chunk.toString("latin1");
  });
  net.on("error", () => {});
  const closed = new Promise<string>((resolve) => {
    net.on("close", () => resolve(text));
  });
  return { net, closed };
}

export const closeOf = (socket: Socket | NodeSocket) =>
  new Promise<{ code: number; reason: string }>((resolve) => {
    socket.onClose = (code, reason) => resolve({ code, reason });
  });
