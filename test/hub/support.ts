/** Real hubs and raw members for tests. What is opened is closed when the test ends. */

import { connect as connectNet, type Socket as NetSocket } from "node:net";
import { onTestFinished } from "vitest";
import { WebSocket } from "ws";
import { HubConnection } from "../../src/link/hub/connection.ts";
import type { Socket } from "../../src/link/link.ts";
import { startHub } from "../../src/node/hub.ts";
import type { NodeSocket } from "../../src/node/socket.ts";
import { connectWebSocket } from "../../src/node/websocket-client.ts";
import { encodeHeader, FrameKind, type Header } from "../../src/wire/frame.ts";
import type { Hello, Welcome } from "../../src/wire/handshake.ts";

export type TestHub = Awaited<ReturnType<typeof startHub>>;

export async function openHub(options: Parameters<typeof startHub>[0] = {}): Promise<TestHub> {
  const hub = await startHub({ port: 0, ...options });
  onTestFinished(() => hub.close());
  return hub;
}

export function hello(fields: Partial<Hello> = {}): Hello {
  return { group: "g", rank: 0, worldSize: 2, purpose: "hub", checksums: false, ...fields };
}

export async function join(
  hub: { url: string },
  fields: Partial<Hello> = {},
  token?: string,
): Promise<{ socket: Socket; welcome: Welcome }> {
  const joined = await connectWebSocket(hub.url, hello(fields), { timeoutMs: 5_000, token });
  onTestFinished(() => joined.socket.terminate());
  return joined;
}

/** A member that is connected and records what it hears. */
export async function joinConnection(hub: { url: string }, fields: Partial<Hello> = {}, token?: string) {
  const { socket, welcome } = await join(hub, fields, token);
  return { ...record(new HubConnection(socket, welcome, hub.url)), socket, welcome };
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

export function dataFrame(peer: number, payloadBytes: number, fields: Partial<Header> = {}): Uint8Array {
  const header = {
    kind: FrameKind.DATA,
    flags: 0,
    peer,
    epoch: 0,
    slot: 0,
    group: 1,
    sequence: 7,
    payloadBytes,
    request: 0,
  };
  return encodeHeader({ ...header, ...fields }, null);
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
