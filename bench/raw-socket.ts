/** A WebSocket as a page would use it by itself, at a server that only passes on; and that server. */
import type { AddressInfo } from "node:net";
import { WebSocketServer } from "ws";

/** Serves two pages: what the one sends goes to the other. */
export async function relayServer(): Promise<{ url: string; close(): void }> {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate: false });
  await new Promise((resolve) => server.once("listening", resolve));
  server.on("connection", (from) => {
    from.on("message", (bytes) => {
      for (const to of server.clients) if (to !== from) to.send(bytes);
    });
  });
  const close = () => {
    for (const client of server.clients) client.terminate();
    server.close();
  };
  return { url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}
