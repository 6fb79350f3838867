/**
 * The program of the host to which tabs on other hosts come: it serves their page and a hub, at whose port each byte is held up, both
 * ways. It takes a {@link HubHostJob} as its argument, prints a {@link HubHost}, and ends with its standard input.
 */
import { connect, createServer, type Socket } from "node:net";
import { startHub } from "../../../src/node/hub.ts";
import { PageServer } from "../browser/page-server.ts";

export interface HubHostJob {
  readonly address: string;
  readonly programs?: Readonly<Record<string, string>>;
  /** Milliseconds in which a byte comes from a tab to the hub, and as long back. */
  readonly delayMs: number;
}

export interface HubHost {
  /** Where pages find the hub and themselves, if `*.example` is this host. */
  readonly url: string;
  readonly origin: string;
}

const { address, programs, delayMs }: HubHostJob = JSON.parse(process.argv[2]!);
const server = await PageServer.open({ ...(programs && { programs }), address, host: "page.example" });
const hub = await startHub({ port: 0, origins: [server.origin], allowHosts: ["hub.example"] });

/** Passes on what comes, later. Timers of one delay fire in the order in which they were set. */
function delay(from: Socket, to: Socket): void {
  from.on("data", (bytes) => setTimeout(() => to.write(bytes), delayMs));
  from.on("close", () => setTimeout(() => to.end(), delayMs));
  from.on("error", () => {});
}

const relay = createServer((tab) => {
  const upstream = connect(hub.port, "127.0.0.1");
  for (const socket of [tab, upstream]) socket.setNoDelay(true);
  delay(tab, upstream);
  delay(upstream, tab);
});
await new Promise<void>((resolve) => relay.listen(0, address, resolve));
const { port } = relay.address() as { port: number };
console.log(JSON.stringify({ url: `ws://hub.example:${port}`, origin: server.origin } satisfies HubHost));
process.stdin.on("end", () => process.exit()).resume();
