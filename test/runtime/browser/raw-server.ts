/** The other side of raw.ts: as many bytes back as came, once all have come; one byte at once, when all pages ask for it. */
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";
import { type WebSocket, WebSocketServer } from "ws";

const MESSAGE_BYTES = 512 * 1024;

/** A server for `pages` pages, which start each run together. */
export async function rawServer(pages: number, bytes: number): Promise<string> {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate: false });
  await new Promise((resolve) => server.once("listening", resolve));
  onTestFinished(() => {
    for (const ws of server.clients) ws.terminate();
    server.close();
  });
  const ready: WebSocket[] = [];
  server.on("connection", (ws) => {
    let received = 0;
    ws.on("message", (data: Buffer) => {
      if (data.byteLength === 1) {
        ready.push(ws);
        if (ready.length === pages) for (const each of ready.splice(0)) each.send(new Uint8Array(1));
        return;
      }
      received += data.byteLength;
      if (received < bytes) return;
      received = 0;
      for (let at = 0; at < bytes; at += MESSAGE_BYTES) ws.send(new Uint8Array(MESSAGE_BYTES));
    });
  });
  return `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
