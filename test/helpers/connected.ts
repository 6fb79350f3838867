/** The two ends of a TCP connection, which ends with the test. */
import { createServer, type Socket as NetSocket, connect as netConnect } from "node:net";
import { onTestFinished } from "vitest";

export async function connected(): Promise<{ client: NetSocket; accepted: NetSocket }> {
  const server = createServer();
  onTestFinished(() => void server.close());
  const accepting = new Promise<NetSocket>((resolve) => server.once("connection", resolve));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const client = netConnect((server.address() as { port: number }).port, "127.0.0.1");
  onTestFinished(() => void client.destroy());
  await new Promise((resolve) => client.once("connect", resolve));
  return { client, accepted: await accepting };
}
