/** A proxy in front of a hub, as a web server with several services is one. */
import { createServer, type IncomingMessage } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { onTestFinished } from "vitest";

/** What it does with a request: the status it answers itself, or the path that it asks the hub for. */
export type Answer = (path: string) => { status: number } | { path: string };

/** Starts it; it ends with the test. Its address, "ws://127.0.0.1:port". */
export async function pathProxy(hubPort: number, answer: Answer): Promise<string> {
  const sockets = new Set<Socket>();
  /** Sends the hub the head of a request, and lets both talk from then on. */
  const forward = (request: IncomingMessage, client: Socket, head: Buffer, path: string) => {
    const hub = connect(hubPort, "127.0.0.1");
    const lines = [`${request.method} ${path} HTTP/1.1`];
    for (let i = 0; i < request.rawHeaders.length; i += 2) {
      lines.push(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}`);
    }
    hub.write(`${lines.join("\r\n")}\r\n\r\n`);
    hub.write(head);
    hub.pipe(client).pipe(hub);
    for (const socket of [hub, client]) {
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
    }
  };
  const server = createServer((request, response) => {
    const to = answer(request.url ?? "/");
    if ("status" in to) response.writeHead(to.status).end();
    else forward(request, request.socket, Buffer.alloc(0), to.path);
  });
  server.on("upgrade", (request: IncomingMessage, client: Socket, head: Buffer) => {
    const to = answer(request.url ?? "/");
    if ("path" in to) forward(request, client, head, to.path);
    else client.end(`HTTP/1.1 ${to.status} No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.closeAllConnections();
    server.close();
  });
  return `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
