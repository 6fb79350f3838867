/** A TCP proxy in front of a hub that counts what crosses it. */
import { connect, createServer, type Socket } from "node:net";
import { onTestFinished } from "vitest";

export interface CountingProxy {
  /** The hub's address through the proxy. */
  url: string;
  /** Bytes from the rank to the hub, and from the hub to the rank. */
  up: number;
  down: number;
}

export async function countingProxy(hub: { port: number }): Promise<CountingProxy> {
  const sockets = new Set<Socket>();
  const counts = { url: "", up: 0, down: 0 };
  const server = createServer((rank) => {
    const target = connect(hub.port, "127.0.0.1");
    for (const socket of [rank, target]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        rank.destroy();
        target.destroy();
      });
    }
    rank.on("data", (chunk) => {
      counts.up += chunk.byteLength;
    });
    target.on("data", (chunk) => {
      counts.down += chunk.byteLength;
    });
    rank.pipe(target).pipe(rank);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  if (typeof address !== "object" || !address) throw new Error("no address");
  counts.url = `ws://127.0.0.1:${address.port}`;
  return counts;
}
